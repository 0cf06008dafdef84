"""The tab "Compose": a scene by hand, its image by Blender, and the true answer beside the model's."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.context import MODEL, PRIVATE, QUICK, AppContext, html
from app.examples import true_answer
from app.http.uploads import read_upload
from app.render_job import fetch_watched, render_watched
from app.static.script import script
from app.suggestions import ON_CHOICE, suggestions, suggestions_for
from app.views.answer import hint_card, message_card, warnings
from app.views.gallery import gallery
from app.views.render import render
from app.views.scene_plan import draw_plan, placed, to_plan
from app.views.seen import name_of
from app.views.sketch import sketch
from vqa.clevr.image_generation.blender import find_blender
from vqa.clevr.image_generation.camera import CAMERA_LOCATION
from vqa.clevr.image_generation.sample_scenes import REACH, Layout, annotate, placement_issues, sample_layout
from vqa.clevr.scenes import Scene, SceneObject
from vqa.clevr.vocabulary import ATTRIBUTES, MAX_OBJECTS
from vqa.errors import InputError

_ABOUT = (
    "Make a scene of your own. Drag an object on the plan, or click it to choose it and the ground to move it there; "
    "or use Tab and the arrow keys. The answer that is true of the scene stands beside the model's."
)
_ASK = "() => window.vqaVisit.ask()"
_FURTHEST = 1.5 * REACH
_SHOWN_ISSUES = 6

_Objects = tuple[SceneObject, ...]
_Shown = tuple[Any, ...]


def build_tab(context: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    first = sample_layout(0, "compose", 4).scene.objects
    events = ComposeEvents(context)
    html(f'<p class="about">{_ABOUT}</p>')
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            plan = html(plan_card(first, 0), js_on_load=script("plan.js"), elem_id="plan")
        with gr.Column(scale=4, min_width=280):
            chosen, *values = _build_object(first)
            with gr.Row():
                add = gr.Button("Add", min_width=70, elem_id="compose-add")
                remove = gr.Button("Remove", min_width=70, elem_id="compose-remove")
                another = gr.Button("Another scene", min_width=170, elem_id="compose-sample")
            render_it = gr.Button("Render", variant="primary", elem_id="compose-render")
            install = gr.Button("Install Blender's module (360 MB)", visible=False, elem_id="compose-install")
            progress = html(elem_id="compose-progress")
            prepared = html(js_on_load=ON_CHOICE, elem_id="compose-prepared")
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            image = _build_image()
        with gr.Column(scale=4, min_width=280):
            question = gr.Textbox(
                "How many things are there?", label="Question", max_length=1000, elem_id="compose-question"
            )
            with gr.Row():
                ask = gr.Button("Ask", variant="primary", elem_id="compose-ask")
                take = gr.Button("Open in Ask", elem_id="compose-take")
            fitting = html(js_on_load=ON_CHOICE, elem_id="compose-fitting")
            answer = html(elem_id="compose-answer")
    objects, rendered, number = gr.State(first), gr.State(None), gr.State(4)

    scene = [objects, plan, chosen, *values]
    plan.select(on_plan, [objects, chosen], scene, **QUICK)
    chosen.input(on_choose, [objects, chosen], scene, **QUICK)
    gr.on([value.input for value in values], on_change, [objects, chosen, *values], scene, **QUICK)
    add.click(on_add, [objects, *values], scene, **QUICK)
    remove.click(on_remove, [objects, chosen], scene, **QUICK)
    another.click(on_sample, number, [number, *scene], **QUICK)
    blender: dict[str, Any] = {"concurrency_id": "blender", "concurrency_limit": 1, "show_progress": "hidden"}
    render_it.click(events.on_render, objects, [image, rendered, fitting, progress], **PRIVATE | blender)
    asked = {"fn": events.on_ask, "inputs": [image, question, rendered, objects], "outputs": answer, **MODEL}
    gr.on([ask.click, question.submit], **asked)
    fitting.select(on_fitting, outputs=question, **QUICK).then(**asked)
    take.click(on_take, [image, question], [context.image, context.question], **QUICK).then(None, js=_ASK)
    install.click(events.on_install, outputs=[install, progress], **PRIVATE | blender)
    prepared.select(events.on_prepared, outputs=[*scene, image, rendered, fitting], **QUICK).then(**asked)
    tab.select(events.on_select, outputs=[install, progress, prepared], **QUICK)


def _build_object(objects: _Objects) -> list[gr.Dropdown]:
    """Which object is chosen, and a list for each of its attributes."""
    names = _names(objects)
    chosen = gr.Dropdown(names, value=names[0], label="Object", elem_id="compose-object")
    with gr.Row():
        return [
            chosen,
            *(
                gr.Dropdown(
                    list(known),
                    value=getattr(objects[0], name),
                    label=name.capitalize(),
                    min_width=200,  # two in a row: "cylinder" and its arrow need it
                    elem_id=f"compose-{name}",
                )
                for name, known in ATTRIBUTES.items()
            ),
        ]


def _build_image() -> gr.Image:
    return gr.Image(
        label="Rendered picture",
        type="filepath",
        format="png",
        interactive=False,
        buttons=["download"],
        height=300,
        elem_id="compose-picture",
        alt_text="The rendered picture of the composed scene",
    )


def on_plan(now: _Objects, index: Any, event: gr.EventData) -> _Shown:
    """An object of the plan was chosen (`index`), pushed (`by`) or put elsewhere (`right`, `front`)."""
    data = event._data
    where = _index(data.get("index", index), now)
    if where is None:
        return _shown(now, 0)
    right, front = to_plan(now[where])
    steps, to = data.get("by"), (data.get("right"), data.get("front"))
    if _is_pair(steps):
        right, front = right + steps[0], front + steps[1]
    elif _is_pair(to):
        right, front = to
    right, front = (max(-_FURTHEST, min(_FURTHEST, value)) for value in (right, front))
    return _shown((*now[:where], placed(now[where], right, front), *now[where + 1 :]), where)


def on_choose(now: _Objects, index: Any) -> _Shown:
    """An object was chosen by its name."""
    return _shown(now, _index(index, now) or 0)


def on_change(now: _Objects, index: Any, *values: Any) -> _Shown:
    """The chosen object's attributes were changed."""
    where = _index(index, now)
    if where is None:
        return _shown(now, 0)
    item = replace(now[where], **_attributes(values))
    return _shown((*now[:where], placed(item, *to_plan(item)), *now[where + 1 :]), where)


def on_add(now: _Objects, *values: Any) -> _Shown:
    """Another object with the attributes that are set."""
    if len(now) >= MAX_OBJECTS:
        raise gr.Error(f"CLEVR's scenes have at most {MAX_OBJECTS} objects", print_exception=False)
    set_ones = values if now else [known[0] for known in ATTRIBUTES.values()]
    return _shown((*now, free_object(now, _attributes(set_ones))), len(now))


def on_remove(now: _Objects, index: Any) -> _Shown:
    """The chosen object goes."""
    where = _index(index, now)
    return _shown(now if where is None else (*now[:where], *now[where + 1 :]), where or 0)


def on_sample(count: int) -> _Shown:
    """The next sampled scene."""
    count = (count + 1) % 10_000
    return count, *_shown(sample_layout(0, "compose", count).scene.objects, 0)


def on_take(file: Any, question: Any) -> tuple[str, Any]:
    """The rendered image and its question, for the tab "Ask"."""
    try:
        read_upload(file)
    except InputError:
        raise gr.Error("Render the scene first, or open a prepared one", print_exception=False) from None
    return file["path"], question


def on_fitting(event: gr.EventData) -> str:
    """The question of the button that was pressed."""
    return str(event._data.get("value", ""))[:1000]


@dataclass(frozen=True)
class ComposeEvents:
    """The events that need Blender or the model."""

    context: AppContext

    def on_select(self) -> _Shown:
        """Whether images can be rendered here, and the prepared scenes."""
        scenes = gallery(self.context.examples, "Prepared scenes")
        try:
            find_blender(self.context.blender, fetch=False)
        except InputError as error:
            space = "SPACE_ID" in os.environ
            here = self.context.blender is None and shutil.which("uv") is not None and not space
            why = "A Space has no Blender and cannot install it" if space else str(error).rstrip(".")
            text = "Blender is not here yet; install its module" if here else f"No picture can be rendered here. {why}"
            return gr.update(visible=here), hint_card(f"{text}; or open a prepared scene."), scenes
        return gr.update(visible=False), "", scenes

    def on_install(self) -> Iterator[_Shown]:
        """Yield how long Blender's module is being fetched; in the end whether it is here."""
        try:
            if "SPACE_ID" in os.environ:
                raise InputError("a Space cannot install Blender")
            for step in fetch_watched():
                if isinstance(step, float):
                    yield gr.skip(), hint_card(f"Fetching Blender's module, about 360 MB: {step:.0f} s")
        except InputError as error:
            yield gr.skip(), message_card(str(error))
        else:
            yield gr.update(visible=False), hint_card("Blender's module is here. Press “Render”.")

    def on_prepared(self, event: gr.EventData) -> _Shown:
        """A scene of the examples with its image."""
        index = event._data.get("index")
        if type(index) is not int or not 0 <= index < len(self.context.examples):
            raise gr.Error("scenes: no such scene", print_exception=False)
        example = self.context.examples[index]
        fitting = suggestions(example.questions, example.fitting)
        return *_shown(example.scene.objects, 0), str(example.path), example.scene, fitting

    def on_render(self, now: _Objects) -> Iterator[_Shown]:
        """Yield how long Blender is at work; in the end the image, its scene and questions about it."""
        try:
            layout = Layout(_checked_scene(now), render_seed=0)
            for step in render_watched(layout, self.context.blender):
                if isinstance(step, float):
                    yield gr.skip(), gr.skip(), gr.skip(), hint_card(f"Blender is at work: {step:.0f} s")
                else:
                    yield step, layout.scene, suggestions_for(layout.scene), hint_card("Rendered. Ask about it.")
        except InputError as error:
            yield gr.skip(), gr.skip(), gr.skip(), message_card(str(error))

    def on_ask(self, file: Any, question: Any, rendered: Scene | None, now: _Objects) -> str:
        """The true answer of the scene, and the model's on its image where there is one."""
        try:
            if not isinstance(question, str):
                raise InputError("question: expected text")
            truth, why = true_answer(question, rendered or annotate(now))
            asked = rendered is not None and file is not None
            answer = self.context.answerer.ask(read_upload(file), question) if asked else None
        except InputError as error:
            return message_card(str(error))
        changed = rendered is not None and [*map(_bare, rendered.objects)] != [*map(_bare, now)]
        warned = [*["The plan was changed since; this is about the picture."] * changed]
        warned += warnings(answer) if answer else []
        return render("composed", truth=truth, why=why, answer=answer, warned=warned)


def plan_card(objects: Sequence[SceneObject], chosen: int) -> str:
    """The plan, and under it which of CLEVR's rules it breaks."""
    issues = placement_issues(objects) if objects else []
    faulty = {i for _, about in issues for i in about}
    return render(
        "plan_card",
        plan=draw_plan(objects, chosen, faulty),
        sketch=sketch(objects),
        issues=[_issue_text(objects, *issue) for issue in issues[:_SHOWN_ISSUES]],
        more=max(0, len(issues) - _SHOWN_ISSUES),
    )


def free_object(objects: _Objects, attributes: dict[str, Any]) -> SceneObject:
    """A new object at the free place nearest to the middle, or in the middle where there is none."""
    item = placed(SceneObject(**attributes, coords=(0.0, 0.0, 0.0), rotation=30.0), 0.0, 0.0)
    steps = [k * 0.3 for k in range(-13, 14)]
    for right, front in sorted(((x, y) for x in steps for y in steps), key=lambda at: at[0] ** 2 + at[1] ** 2):
        here = placed(item, right, front)
        if not any(len(objects) in about for _, about in placement_issues((*objects, here))):
            return here
    return item


def _shown(now: _Objects, index: int) -> _Shown:
    """The scene with this object chosen, for all components that show it."""
    index = max(0, min(index, len(now) - 1))
    item, names = (now[index] if now else None), _names(now)
    settings = [gr.update(value=getattr(item, name) if item else None) for name in ATTRIBUTES]
    return now, plan_card(now, index), gr.update(choices=names, value=names[index] if names else None), *settings


def _bare(item: SceneObject) -> SceneObject:
    """The object without where a camera saw it."""
    return replace(item, pixel_coords=None)


def _attributes(values: Sequence[Any]) -> dict[str, Any]:
    wanted = dict(zip(ATTRIBUTES, values, strict=True))
    for name, value in wanted.items():
        if value not in ATTRIBUTES[name]:
            raise gr.Error(f"{name}: expected one of {', '.join(ATTRIBUTES[name])}", print_exception=False)
    return wanted


def _checked_scene(objects: _Objects) -> Scene:
    if not objects:
        raise InputError("scene: there is no object; add one")
    if issues := placement_issues(objects):
        raise InputError(f"scene: {_issue_text(objects, *issues[0])}; move or change objects until the plan is without")
    return annotate(objects, CAMERA_LOCATION)


def _issue_text(objects: Sequence[SceneObject], what: str, about: set[int]) -> str:
    if len(about) > 2:
        return what
    return f"{' and '.join(f'{i + 1} ({name_of(objects[i])})' for i in sorted(about))} {what}"


def _names(objects: Sequence[SceneObject]) -> list[str]:
    return [f"{i}: {name_of(item)}" for i, item in enumerate(objects, 1)]


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
