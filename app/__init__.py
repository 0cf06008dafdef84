"""The web page: `vqa app`, or `python -m app`."""
