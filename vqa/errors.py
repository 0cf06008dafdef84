"""The one exception that a user's mistake raises."""


class InputError(ValueError):
    """Broken or hostile input: an image, question, JSON, archive, checkpoint or flag.

    The message names the file, the field and the remedy; the command line prints it and exits with status 2, the page
    shows it. It is never raised for a fault of ours.
    """
