"""The endpoints as tools of an MCP server."""

import json
from typing import Any

import gradio.mcp


class ToolServer(gradio.mcp.GradioMCPServer):
    """Gradio's, but an answer is JSON rather than Python's notation, and no tool's schema asks for URLs."""

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """What a tool returned as one text of JSON each; no file is ever among it."""
        return [self.types.TextContent(type="text", text=json.dumps(item)) for item in data]

    def simplify_filedata_schema(self, schema: dict[str, Any]) -> tuple[dict[str, Any], list[list[str | int]]]:
        """Pictures as strings; what they may be, their descriptions say."""
        simple, positions = super().simplify_filedata_schema(schema)
        for name, *_ in positions:
            simple["properties"][name].pop("format", None)
        return simple, positions


def use_tool_server() -> None:
    """Make Gradio build this one; it has no setting for that."""
    gradio.mcp.GradioMCPServer = ToolServer  # type: ignore[misc]
