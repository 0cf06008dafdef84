"""The tab "Compose": a scene by hand, its image by Blender, and the true answer beside the model's."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from app.context import PRIVATE, AppContext
from app.http.uploads import read_upload
from app.render_job import render_watched
from app.static.script import script
from app.suggestions import ON_CHOICE, suggestions_for
from app.views.answer import bars, hint_card, message_card, percent
from app.views.scene_plan import draw_plan, name_of, placed, to_plan
from vqa.clevr.image_generation.blender import find_blender
from vqa.clevr.image_generation.camera import CAMERA_LOCATION
from vqa.clevr.image_generation.sample_scenes import REACH, Layout, annotate, placement_issues, sample_layout
from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import IllPosedError, answer_string, execute
from vqa.clevr.scenes import Scene, SceneObject
from vqa.clevr.vocabulary import ATTRIBUTES, MAX_OBJECTS
from vqa.errors import InputError
from vqa.explain.drawing import escape

_ABOUT = (
    "Make a scene of your own. Click an object on the plan to choose it, and the ground to move it there; or use Tab "
    "and the arrow keys. The answer that is true of the scene stands beside the model's."
)

_FURTHEST = 1.5 * REACH
_Objects = tuple[SceneObject, ...]
_Shown = tuple[Any, ...]


def build_tab(site: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    first = sample_layout(0, "compose", 4).scene.objects
    plan_script = script("plan.js")
    private = PRIVATE | {"show_progress": "hidden"}

    gr.HTML(f'<p class="about">{_ABOUT}</p>', apply_default_css=False)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            plan = gr.HTML(_plan_card(first, 0), js_on_load=plan_script, elem_id="plan", apply_default_css=False)
        with gr.Column(scale=4, min_width=280):
            chosen = gr.Dropdown(_names(first), value=_names(first)[0], label="Object", elem_id="compose-object")
            with gr.Row():
                values = [
                    gr.Dropdown(
                        list(known),
                        value=getattr(first[0], name),
                        label=name.capitalize(),
                        min_width=110,
                        elem_id=f"compose-{name}",
                    )
                    for name, known in ATTRIBUTES.items()
                ]
            with gr.Row():
                add = gr.Button("Add", min_width=70, elem_id="compose-add")
                remove = gr.Button("Remove", min_width=70, elem_id="compose-remove")
                another = gr.Button("Another scene", min_width=110, elem_id="compose-sample")
            render = gr.Button("Render", variant="primary", elem_id="compose-render")
            progress = gr.HTML("", elem_id="compose-progress", apply_default_css=False)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            image = gr.Image(
                label="Rendered picture",
                type="filepath",
                format="png",
                interactive=False,
                buttons=["download"],
                height=300,
                elem_id="compose-picture",
                alt_text="The rendered picture of the composed scene",
            )
        with gr.Column(scale=4, min_width=280):
            question = gr.Textbox(
                "How many things are there?", label="Question", max_length=1000, elem_id="compose-question"
            )
            ask = gr.Button("Ask", variant="primary", elem_id="compose-ask")
            fitting = gr.HTML("", js_on_load=ON_CHOICE, elem_id="compose-fitting", apply_default_css=False)
            answer = gr.HTML("", elem_id="compose-answer", apply_default_css=False)
    objects, rendered, number = gr.State(first), gr.State(None), gr.State(4)

    def shown(now: _Objects, index: int) -> _Shown:
        index = max(0, min(index, len(now) - 1))
        item = now[index] if now else None
        settings = [gr.update(value=getattr(item, name) if item else None) for name in ATTRIBUTES]
        names = _names(now)
        return now, _plan_card(now, index), gr.update(choices=names, value=names[index] if names else None), *settings

    def on_plan(now: _Objects, index: Any, event: gr.EventData) -> _Shown:
        data = event._data
        where = _index(data.get("index", index), now)
        if where is None:
            return shown(now, 0)
        right, front = to_plan(now[where])
        steps, to = data.get("by"), (data.get("right"), data.get("front"))
        if _is_pair(steps):
            right, front = right + steps[0], front + steps[1]
        elif _is_pair(to):
            right, front = to
        right, front = (max(-_FURTHEST, min(_FURTHEST, value)) for value in (right, front))
        moved = placed(now[where], right, front)
        return shown((*now[:where], moved, *now[where + 1 :]), where)

    def on_choose(now: _Objects, index: Any) -> _Shown:
        return shown(now, _index(index, now) or 0)

    def on_recolor(now: _Objects, index: Any, *chosen_values: Any) -> _Shown:
        where = _index(index, now)
        if where is None:
            return shown(now, 0)
        wanted = dict(zip(ATTRIBUTES, chosen_values, strict=True))
        for name, value in wanted.items():
            if value not in ATTRIBUTES[name]:
                raise gr.Error(f"{name}: expected one of {', '.join(ATTRIBUTES[name])}", print_exception=False)
        item = replace(now[where], **wanted)
        return shown((*now[:where], placed(item, *to_plan(item)), *now[where + 1 :]), where)

    def on_add(now: _Objects, *chosen_values: Any) -> _Shown:
        if len(now) >= MAX_OBJECTS:
            raise gr.Error(f"CLEVR's scenes have at most {MAX_OBJECTS} objects", print_exception=False)
        return shown((*now, _free_object(now)), len(now))

    def on_remove(now: _Objects, index: Any) -> _Shown:
        where = _index(index, now)
        return shown(now if where is None else (*now[:where], *now[where + 1 :]), where or 0)

    def on_sample(count: int) -> _Shown:
        count = (count + 1) % 10_000
        return count, *shown(sample_layout(0, "compose", count).scene.objects, 0)

    def on_render(now: _Objects) -> Iterator[_Shown]:
        try:
            layout = Layout(_checked_scene(now), render_seed=0)
            for step in render_watched(layout, site.blender):
                if isinstance(step, float):
                    yield gr.skip(), gr.skip(), gr.skip(), hint_card(f"Blender is at work: {step:.0f} s")
                else:
                    yield step, layout.scene, suggestions_for(layout.scene), hint_card("Rendered. Ask about it.")
        except InputError as error:
            yield gr.skip(), gr.skip(), gr.skip(), message_card(str(error))

    def on_ask(file: Any, text: Any, scene: Scene | None, now: _Objects) -> str:
        try:
            return answers_card(site, file, text, scene, now)
        except InputError as error:
            return message_card(str(error))

    def on_fitting(event: gr.EventData) -> str:
        return str(event._data.get("value", ""))[:1000]

    listen = {"queue": False, **private}
    everything = [objects, plan, chosen, *values]
    plan.select(on_plan, [objects, chosen], everything, **listen)
    chosen.input(on_choose, [objects, chosen], everything, **listen)
    gr.on([value.input for value in values], on_recolor, [objects, chosen, *values], everything, **listen)
    add.click(on_add, [objects, *values], everything, **listen)
    remove.click(on_remove, [objects, chosen], everything, **listen)
    another.click(on_sample, number, [number, *everything], **listen)
    render.click(
        on_render,
        objects,
        [image, rendered, fitting, progress],
        concurrency_id="blender",
        concurrency_limit=1,
        **private,
    )
    gr.on(
        [ask.click, question.submit],
        on_ask,
        [image, question, rendered, objects],
        answer,
        concurrency_id="model",
        **PRIVATE,
    )
    fitting.select(on_fitting, outputs=question, **listen)
    tab.select(lambda: _availability(site), outputs=progress, **listen)


def answers_card(
    site: AppContext, file: Any, question: Any, rendered: Scene | None, objects: Sequence[SceneObject]
) -> str:
    """The true answer of the scene, and the model's on its image where there is one. Raises InputError."""
    scene = rendered or annotate(objects)
    if not isinstance(question, str):
        raise InputError("question: expected text")
    truth, why = true_answer(question, scene)
    said = f"<strong>{escape(truth)}</strong>" if truth else f"<span>{escape(why)}</span>"
    true = f'<article class="card"><h2>True of the scene</h2><p class="said">{said}</p></article>'
    if rendered is None or file is None:
        return f'<section class="pair">{true}{hint_card("Render the scene to see what the model answers.")}</section>'
    answer = site.answerer.ask(read_upload(file), question)
    verdict = "" if not truth else "<em>right</em>" if truth == answer.answer else "<em>wrong</em>"
    changed = tuple(rendered.objects) != annotate(objects).objects
    note = '<p class="warning">The plan was changed since; this is about the picture.</p>' if changed else ""
    return (
        f'<section class="pair" aria-live="polite">{true}<article class="card"><h2>The model says</h2>{note}'
        f'<p class="said"><strong>{escape(answer.answer)}</strong> <span>{percent(answer.confidence)} sure</span> '
        f"{verdict}</p>{bars('Most probable answers', answer.top_answers)}</article></section>"
    )


def true_answer(question: str, scene: Scene) -> tuple[str | None, str]:
    """What the question's program yields on the scene, or why it yields nothing."""
    try:
        return answer_string(execute(parse_question(question), scene)[-1]), ""
    except IllPosedError as error:
        return None, f"No answer: the question means {error}."
    except InputError as error:
        return None, f"Not known: {error}"


def _availability(site: AppContext) -> str:
    try:
        find_blender(site.blender, fetch=False)
        return ""
    except InputError as error:
        return f'<div class="card hint"><strong>No picture can be rendered here.</strong> {escape(str(error))}</div>'


def _checked_scene(objects: _Objects) -> Scene:
    if not objects:
        raise InputError("scene: there is no object; add one")
    if issues := placement_issues(objects):
        raise InputError(f"scene: {_issue_text(objects, *issues[0])}; move or change objects until the plan is without")
    return annotate(objects, CAMERA_LOCATION)


def _plan_card(objects: Sequence[SceneObject], chosen: int) -> str:
    issues = placement_issues(objects) if objects else []
    items = "".join(f"<li>{escape(_issue_text(objects, *issue))}</li>" for issue in issues[:6])
    more = f"<li>and {len(issues) - 6} more</li>" if len(issues) > 6 else ""
    fine = '<p class="fine">This scene keeps to the rules of CLEVR.</p>'
    said = f'<ul class="faults">{items}{more}</ul>' if issues else fine
    faulty = {i for _, about in issues for i in about}
    return f'<div class="card">{draw_plan(objects, chosen, faulty)}<div role="status">{said}</div></div>'


def _issue_text(objects: Sequence[SceneObject], what: str, about: set[int]) -> str:
    if len(about) > 2:
        return what
    return f"{' and '.join(f'{i + 1} ({name_of(objects[i])})' for i in sorted(about))} {what}"


def _names(objects: Sequence[SceneObject]) -> list[str]:
    return [f"{i}: {name_of(item)}" for i, item in enumerate(objects, 1)]


def _free_object(objects: _Objects) -> SceneObject:
    """A new object at the free place nearest to the middle, or in the middle where there is none."""
    item = SceneObject("cube", "red", "small", "rubber", (0.0, 0.0, 0.35), rotation=30.0)
    steps = [k * 0.3 for k in range(-13, 14)]
    for right, front in sorted(((x, y) for x in steps for y in steps), key=lambda at: at[0] ** 2 + at[1] ** 2):
        here = placed(item, right, front)
        if not any(len(objects) in about for _, about in placement_issues((*objects, here))):
            return here
    return item


def _index(value: Any, objects: _Objects) -> int | None:
    """The number of an object, given as such or by its name in the list."""
    if isinstance(value, str):
        value = int(number) - 1 if (number := value.partition(":")[0]).isascii() and number.isdigit() else None
    return value if type(value) is int and 0 <= value < len(objects) else None


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(type(part) in (int, float) and abs(part) < 100 for part in value)
    )
