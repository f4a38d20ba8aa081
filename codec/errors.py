"""Everything that can go wrong, as exceptions with one exit code each. Knows nothing else."""


class ArdmError(Exception):
    """Base of all errors that codec raises on purpose. `exit_code` is what the commands return."""

    exit_code = 1


class InputError(ArdmError):
    """The input cannot be read, or is not an image."""


class OutputError(ArdmError):
    """The output exists already or cannot be written."""


class ExistsError(OutputError):
    """The output exists already, and is not to be overwritten."""


class CorruptError(ArdmError):
    """The data is damaged: a checksum or the structure is wrong."""

    exit_code = 4


class TruncatedError(CorruptError):
    """The data ends too early."""


class NotArdmError(CorruptError):
    """The data is not an .ardm file at all."""


class UnsupportedError(ArdmError):
    """A version, feature, weights id or kind of image that this release does not know."""

    exit_code = 5


class LimitError(UnsupportedError):
    """The image is larger than the limit that was set."""


class VerifyError(ArdmError):
    """The file just written does not decode to what was put in. Nothing was kept."""
