"""Markdown that is written by several hands: the sections of a model card."""


def replace_section(text: str, section: str) -> str:
    """A Markdown text with a section (its heading first) in the place of the one of that heading, or at the end."""
    heading = section.strip().splitlines()[0]
    lines = text.rstrip().splitlines()
    start = lines.index(heading) if heading in lines else len(lines)
    level = heading.partition(" ")[0] + " "
    end = next((i for i in range(start + 1, len(lines)) if lines[i].startswith(level)), len(lines))
    parts = ("\n".join(lines[:start]), section, "\n".join(lines[end:]))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
