"""`python -m vqa`, and what `accelerate launch -m vqa train` runs."""

from vqa.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
