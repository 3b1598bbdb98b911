"""Application servers of the network server."""

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.kernel.documents import Document


class ApplicationServerRequest(Document):
    """The body that registers an application server."""

    as_id: str = Field(min_length=1, max_length=255, pattern=r"^[\w.@:-]+$")
    as_key: str = Field(min_length=1, max_length=255, repr=False)


class ApplicationServer(BaseModel):
    """An application server as the network server knows it; its key is in Secrets Manager under ``secret_id``."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    as_id: str
    secret_id: str
    secret_version: str
    created_at: str
