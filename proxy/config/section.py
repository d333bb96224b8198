"""What all parts of the configuration share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """One mapping of the file; its keys are the fields, and no others are allowed."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        # Without this pydantic prints sibling values, secrets among them, into its errors.
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_heading(cls, value: Any) -> Any:
        # `limits:` with nothing but comments below it is YAML's null.
        return {} if value is None else value
