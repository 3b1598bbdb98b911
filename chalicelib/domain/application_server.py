"""Application servers, whose keys sign the requests between the network server and the connector."""

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.kernel.documents import Document


class ApplicationServerRequest(Document):
    """The body of a registration: the AS_ID and the key that it shares with the network server."""

    as_id: str = Field(min_length=1, max_length=255, pattern=r"^[\w.@:-]+$")
    as_key: str = Field(min_length=1, max_length=255, repr=False)


class ApplicationServer(BaseModel):
    """A registered application server. Secrets Manager stores its key under ``secret_id``."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    as_id: str
    secret_id: str
    secret_version: str
    created_at: str
