"""Errors: one line that a person can act on, and a class that says whether a retry helps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipline.contract import errors
from clipline.contract.errors import CliplineError, Refused, ServiceError, Unavailable

# Every character that anything takes for the end of a line, among others.
texts = st.text(alphabet=st.sampled_from("ab \t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029é"), max_size=20)


@given(texts, texts, texts, st.none() | texts)
def test_an_error_is_one_line(operation: str, target: str, cause: str, hint: str | None) -> None:
    for error in (ServiceError(operation, target, cause, hint=hint), CliplineError(cause, hint=hint)):
        assert len(str(error).splitlines()) <= 1


def test_an_error_says_what_was_tried_on_what_and_what_would_be_right() -> None:
    error = Refused("read", "s3://rewinds/a.mp4", "AccessDenied:\n  no", hint="check the credentials")
    assert str(error) == "read s3://rewinds/a.mp4: AccessDenied: no (check the credentials)"
    assert (error.operation, error.target, error.cause) == (
        "read",
        "s3://rewinds/a.mp4",
        "AccessDenied:\n  no",
    )


@pytest.mark.parametrize(
    "kind", [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, CliplineError)]
)
def test_only_unavailable_is_worth_a_retry(kind: type[CliplineError]) -> None:
    assert kind.retryable == (kind is Unavailable)
