"""Errors whose message tells the user what to change."""


class UserError(ValueError):
    """A setting, file or combination that the user has to change.

    The programs in ``tools/`` end with the message alone; any other error is ours and keeps its
    traceback.
    """
