"""Markdown that is written by several hands: the sections of a model card."""


def replace_section(text: str, section: str) -> str:
    """A Markdown text with a section (its heading first) in the place of the one of that heading, or at the end."""
    heading = section.strip().splitlines()[0]
    lines = text.rstrip().splitlines()
    start = lines.index(heading) if heading in lines else len(lines)
    level, fenced, end = len(heading.partition(" ")[0]), False, len(lines)
    for i in range(start + 1, len(lines)):
        hashes, space, _ = lines[i].partition(" ")
        fenced ^= lines[i].startswith("```")
        if not fenced and space and hashes in ("#" * n for n in range(1, level + 1)):
            end = i
            break
    parts = ("\n".join(lines[:start]), section, "\n".join(lines[end:]))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
