"""A base for JSON documents with camelCase names."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Document(BaseModel):
    """An immutable JSON document with camelCase names. Unknown fields are refused, so that no typing error is lost."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """Return the document as JSON values with camelCase names."""
        return self.model_dump(mode="json", by_alias=True)


class StoredDocument(Document):
    """A document that two releases read: fields that only another release knows are ignored."""

    model_config = ConfigDict(extra="ignore")
