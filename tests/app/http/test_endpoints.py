"""The endpoint for programs, and what hostile clients try."""

import http.client
import json
import urllib.error
import urllib.request

import anyio
import gradio as gr
import gradio_client
import pytest
from gradio_client import handle_file
from hits import counting_server

import vqa
from app.http.uploads import MAX_BODY, BodyLimit, Page
from vqa.utils.resources import shipped

IMAGE = shipped("data/clevr-mini/images/val/CLEVR_val_000001.jpg")
QUESTION = "Are there any big shiny cubes?"


@pytest.fixture(scope="session")
def client(address):
    return gradio_client.Client(address, verbose=False, analytics_enabled=False)


@pytest.mark.parametrize("endpoint", ["/ask", "/explain"])
def test_endpoints_return_what_the_library_returns(client, checkpoint, endpoint):
    answer = client.predict(image=handle_file(IMAGE), question=QUESTION, api_name=endpoint)
    expected = vqa.load(checkpoint, "cpu").ask(IMAGE, QUESTION).to_json()
    assert answer["answer"] == expected["answer"]
    assert answer["confidence"] == pytest.approx(expected["confidence"], abs=1e-3)
    assert answer["in_domain"] is None
    if endpoint == "/ask":
        assert set(answer) < set(expected)
        return
    assert set(answer) == set(expected)
    for block, weights in expected["weights"].items():
        assert set(answer["weights"][block]) == set(weights)
        for kind in ("film_gamma", "film_beta", "channel_weights", "word_weights"):
            assert answer["weights"][block][kind] == pytest.approx(weights[kind], abs=1e-3)


def test_the_endpoints_are_typed_and_the_only_ones(client):
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert list(endpoints["named_endpoints"]) == ["/ask", "/explain"]
    assert not endpoints["unnamed_endpoints"]
    for name, fields in (
        ("/ask", ("answer: str", "confidence: float", "top_answers: ")),
        ("/explain", ("answer: str", "film_gamma: ")),
    ):
        endpoint = endpoints["named_endpoints"][name]
        image, question = endpoint["parameters"]
        assert (image["parameter_name"], image["python_type"]["type"]) == ("image", "filepath")
        assert (question["parameter_name"], question["python_type"]["type"]) == ("question", "str")
        returns = endpoint["returns"][0]["python_type"]["type"]
        assert all(field in returns for field in fields)
        assert "image" in endpoint["description"]


@pytest.mark.parametrize("name", ["/on_ask", "/on_upload", "/on_render"])
def test_what_the_page_does_is_no_endpoint(client, name):
    with pytest.raises(ValueError, match="Cannot find a function"):
        client.predict(api_name=name)


@pytest.mark.parametrize(
    ("question", "complaint"), [("", "no words"), ("zzz", "none of its words"), ("cube " * 2000, "at most")]
)
def test_mistakes_come_back_as_messages(client, question, complaint):
    with pytest.raises(Exception, match=complaint) as error:
        client.predict(image=handle_file(IMAGE), question=question, api_name="/ask")
    assert "Traceback" not in str(error.value)


def call(address, *data):
    """/ask by plain HTTP: the last event and its data."""
    body = json.dumps({"data": data}).encode()
    request = urllib.request.Request(
        f"{address}/gradio_api/call/ask", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        event = json.load(reply)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/ask/{event}", timeout=60) as reply:
        lines = reply.read().decode().strip().splitlines()
    return lines[-2].removeprefix("event: "), lines[-1].removeprefix("data: ")


META = {"meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    ("image", "question"),
    [
        ({"path": "/etc/passwd"}, QUESTION),
        ({"path": "/etc/passwd", **META}, QUESTION),
        ({"path": str(IMAGE)}, QUESTION),
        ({"path": str(IMAGE), **META}, QUESTION),
        ({"path": "../../../../etc/passwd"}, QUESTION),
        ({"path": "http://127.0.0.1:1/picture.png", **META}, QUESTION),
        ({"path": "http://example.com/picture.png", **META}, QUESTION),
        ({"path": "http://169.254.169.254/latest", "url": "http://169.254.169.254/latest"}, QUESTION),
        ({"url": "http://127.0.0.1:1/picture.png", **META}, QUESTION),
        ({"path": 3}, QUESTION),
        ("picture.png", QUESTION),
        ([1, 2], QUESTION),
        (None, QUESTION),
    ],
)
def test_only_uploaded_files_are_read(address, log, image, question):
    event, data = call(address, image, question)
    assert event == "error"
    assert "root:" not in data
    assert "OUTSIDE" not in log.read_text()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433"])
def test_no_url_on_this_machine_is_fetched(address, host):
    with counting_server() as (other, hits):
        url = f"http://{host}:{other.rpartition(':')[2]}/picture.png"
        for image in ({"url": url}, {"path": url}, {"path": url, "url": url}, {"path": "a.png", "url": url}):
            assert call(address, {**image, **META}, QUESTION)[0] == "error"
            assert call(address, image, QUESTION)[0] == "error"
        path = uploaded(address, "picture.jpg", IMAGE.read_bytes())
        assert call(address, {"path": path, "url": url, **META}, QUESTION)[0] == "complete"
    assert hits == []


def test_an_endless_request_is_refused(address):
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/gradio_api/call/ask")
    connection.putheader("Content-Length", str(MAX_BODY + 1))
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 413
    assert b"longer than 32 MB" in reply.read()


def test_a_call_leaves_no_session_behind():
    def double(number: int) -> int:
        return 2 * number

    with Page(analytics_enabled=False) as demo:
        gr.api(double, api_name="double")
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, inbrowser=False)
    try:
        client = gradio_client.Client(address, verbose=False, analytics_enabled=False)
        assert [client.predict(number, api_name="/double") for number in (1, 2)] == [2, 4]
        assert not demo.state_holder.session_data
    finally:
        demo.close(verbose=False)


@pytest.mark.parametrize(("chunks", "status"), [(3, 200), (4, 413), (99, 413)])
def test_a_request_that_does_not_say_how_long_it_is_is_counted(chunks, status):
    sent = []

    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            if not message["more_body"]:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                return await send({"type": "http.response.body", "body": b""})
        raise ConnectionError("the client is gone")

    left = iter(range(chunks, 0, -1))

    async def receive():
        return {"type": "http.request", "body": b"x" * 10, "more_body": next(left) > 1}

    async def send(message):
        sent.append(message)

    anyio.run(BodyLimit(app, most=35), {"type": "http", "headers": []}, receive, send)
    assert sent[0]["status"] == status


def uploaded(address, name, content):
    boundary = "b0undary"
    body = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
            "Content-Type: image/png\r\n\r\n"
        ).encode()
        + content
        + f"\r\n--{boundary}--\r\n".encode()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{address}/gradio_api/upload", body, headers), timeout=60
    ) as reply:
        return json.load(reply)[0]


@pytest.mark.parametrize("question", [None, 7, ["cube"], {"cube": 1}, True])
def test_a_question_of_another_type(address, question):
    path = uploaded(address, "picture.jpg", IMAGE.read_bytes())
    event, data = call(address, {"path": path, **META}, question)
    assert event == "error"
    assert "expected text" in data


@pytest.mark.parametrize(
    "name", ["../../../../tmp/escaped.png", "a" * 300 + ".png", "<img src=x>.png", "%2e%2e%2fx.png", ".png"]
)
def test_hostile_file_names(address, name):
    path = uploaded(address, name, IMAGE.read_bytes())
    event, data = call(address, {"path": path, "orig_name": name, **META}, QUESTION)
    assert event == "complete"
    assert json.loads(data)[0]["answer"]


def test_a_broken_image_names_the_file_not_the_servers_folders(address):
    path = uploaded(address, "notes.png", b"no picture at all")
    event, data = call(address, {"path": path, "orig_name": "notes.png", **META}, QUESTION)
    assert event == "error"
    assert "notes.png: not an image" in data
    assert path.rpartition("/")[0] not in data


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/proc/self/environ", str(shipped("data/clevr-mini/questions")), "pyproject.toml"]
)
def test_nothing_else_is_served(address, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{address}/gradio_api/file={path}", timeout=60)
    assert error.value.code in (403, 404)


def test_no_list_of_uploads_is_served(address):
    path = uploaded(address, "picture.jpg", IMAGE.read_bytes())
    for folder in (path.rpartition("/")[0], path.rsplit("/", 2)[0]):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{address}/gradio_api/file={folder}", timeout=60)
