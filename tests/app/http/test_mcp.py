"""The tools of the MCP server, with a real client over HTTP."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from hits import counting_server
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from test_endpoints import IMAGE, QUESTION, uploaded

import vqa


def call(address, *tools):
    """The list of tools, and the result of each call (name, arguments), in one session."""

    async def session():
        async with (
            streamablehttp_client(f"{address}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            listed = (await client.list_tools()).tools
            return listed, [await client.call_tool(name, arguments) for name, arguments in tools]

    with ThreadPoolExecutor(1) as elsewhere:  # playwright has its event loop in this thread
        return elsewhere.submit(anyio.run, session).result()


def said(result):
    return " ".join(part.text for part in result.content)


def test_tools_ask_and_explain(address, checkpoint):
    data = "data:image/jpeg;base64," + base64.b64encode(IMAGE.read_bytes()).decode()
    path = uploaded(address, "picture.jpg", IMAGE.read_bytes())
    tools, results = call(
        address,
        ("ask", {"image": data, "question": QUESTION}),
        ("explain", {"image": f"{address}/gradio_api/file={path}", "question": QUESTION}),
    )
    assert sorted(tool.name for tool in tools) == ["ask", "explain"]
    for tool in tools:
        assert set(tool.inputSchema["properties"]) == {"image", "question"}
        assert "data URI" in str(tool.inputSchema)
        assert "http" not in str(tool.inputSchema)
    expected = vqa.load(checkpoint, "cpu").ask(IMAGE, QUESTION).to_json()
    answers = [json.loads(said(result)) for result in results]
    assert [answer["answer"] for answer in answers] == [expected["answer"]] * 2
    assert "weights" not in answers[0]
    assert set(answers[1]) == set(expected)


def test_no_url_is_fetched_and_mistakes_are_told(address, log):
    with counting_server() as (other, hits):
        _, results = call(
            address,
            ("ask", {"image": f"{other}/picture.png", "question": QUESTION}),
            ("ask", {"image": "http://169.254.169.254/latest", "question": QUESTION}),
            ("ask", {"image": f"{other}/gradio_api/file=/etc/passwd", "question": QUESTION}),
            ("ask", {"image": "/etc/passwd", "question": QUESTION}),
            ("ask", {"image": "data:image/png;base64,AAAA", "question": QUESTION}),
        )
    assert hits == []
    assert all(result.isError for result in results)
    assert "no URL is fetched" in said(results[0])
    assert "not an image" in said(results[4])
    assert "OUTSIDE" not in log.read_text()
    assert "root:" not in str(results)


@pytest.mark.parametrize("question", ["", "zzz"])
def test_a_question_that_cannot_be_asked(address, question):
    data = "data:image/jpeg;base64," + base64.b64encode(IMAGE.read_bytes()).decode()
    _, [result] = call(address, ("ask", {"image": data, "question": question}))
    assert result.isError
    assert "question" in said(result)
