"""Every error raised on purpose; it knows no other module.

A `DeviseError` is a broken promise: `spark.job` and the command line print its one line and exit with code 2.
The text says what was found, what was wanted, and where.
"""


class DeviseError(Exception):
    """A promise that an input, a setting or an output broke; printed as one line, exit code 2."""

    def __str__(self) -> str:
        # A library's message or a file's name may hold line ends, escape codes, or bytes that are no UTF-8.
        line = " ".join(super().__str__().splitlines())
        return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


class ConfigError(DeviseError):
    """A setting that is unknown, missing, of the wrong kind or out of range."""


class StorageError(DeviseError):
    """A file, folder, object or bucket that cannot be read or written."""


class AlreadyExists(StorageError):
    """A create-only write found its target there already."""


class PointerMoved(StorageError):
    """A compare-and-set write found that its target had changed since it was read."""


class LeaseHeld(DeviseError):
    """Somebody else works in the warehouse; one at a time does."""


class LeaseLost(DeviseError):
    """The lease of the warehouse ran out, or somebody else took it meanwhile; what was not committed is not."""


class SchemaError(DeviseError):
    """A table whose columns are not the documented ones."""


class ManifestError(DeviseError):
    """A run that is missing, torn, or committed already with other inputs or settings."""


class AccountingError(DeviseError):
    """Rows in do not equal rows out plus reasons."""


class RejectedTooMany(DeviseError):
    """More images were rejected than `max_reject_fraction` allows."""


class GateError(DeviseError):
    """A run that may not be published."""


class EmptyCorpus(DeviseError):
    """A listing that found no image at all."""


class InventoryError(DeviseError):
    """An S3 Inventory that is torn, of another bucket, or lacks what a listing tells."""


class TableError(DeviseError):
    """A table that people wrote and that is none: its encoding, its columns, a type that is no text."""


class VectorError(DeviseError):
    """Word vectors that are torn, of the wrong dimension or not finite."""


class VocabularyError(DeviseError):
    """A vocabulary without labels, or a word that nothing knows."""


class ModelError(DeviseError):
    """Weights or a model folder that do not fit what was asked for."""


class TrainingError(DeviseError):
    """Labelled images that nothing can be learned from."""


class DeviceError(DeviseError):
    """An accelerator asked for and absent."""


class WorkerLost(DeviseError):
    """Workers that died again and again, and no image was to blame."""


class IndexingError(DeviseError):
    """An index that cannot be built, read or merged."""


class AwsError(DeviseError):
    """A call to AWS that was refused, or a stack, cluster or night there that is not as it must be."""


class ImageError(DeviseError):
    """One bad image: a row with a reject code, never the end of a job.

    Attributes:
        code: one of `devise.vision.images.REJECT_CODES`.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
