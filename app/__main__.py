"""`python -m app [--host --port --share --checkpoint]`: the same as `vqa app`."""

import sys

from vqa.cli import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))
