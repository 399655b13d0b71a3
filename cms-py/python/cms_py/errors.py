# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What can go wrong, as exceptions. Each tells what happened, and in ``hint`` what to do next; none holds a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class CmsError(Exception):
    """The base of all of them.

    ``code`` is a stable word that programs may compare, ``request_id`` the id under which the log and the audit trail
    know the request.
    """

    status: int = 500

    def __init__(
        self,
        message: str,
        *,
        code: str = "internal",
        hint: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.request_id = request_id
        self.retry_after = retry_after
        self.errors = tuple(errors)

    def __str__(self) -> str:
        places = "".join(f"\n  {_place(error)}" for error in self.errors)
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.message}{hint} [{self.code}]{places}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.message, {name: vars(self)[name] for name in _FIELDS})


_FIELDS = ("code", "hint", "request_id", "retry_after", "errors")


def _rebuilt(kind: type[CmsError], message: str, fields: dict[str, Any]) -> CmsError:
    return kind(message, **fields)


def _place(error: Mapping[str, Any]) -> str:
    where = [str(error[part]) for part in ("path", "line", "column") if error.get(part) is not None]
    return f"{':'.join(where)}: {error.get('message')}" if where else str(error.get("message"))


class InvalidRequest(CmsError):
    """The request cannot be understood."""

    status = 400


class Unauthenticated(CmsError):
    """No valid credential was given."""

    status = 401


class Denied(CmsError):
    """The caller may not do this."""

    status = 403


class NotFound(CmsError):
    """It does not exist, or the caller may not know that it does."""

    status = 404


class Conflict(CmsError):
    """It contradicts the present state."""

    status = 409


class StaleVersion(CmsError):
    """The version that was expected is no longer the present one."""

    status = 412


class TooLarge(CmsError):
    """It is larger than its limit."""

    status = 413


class UnsupportedMedia(CmsError):
    """The content type is not one that is understood."""

    status = 415


class Unprocessable(CmsError):
    """It is understood, but not valid; ``errors`` names the places."""

    status = 422


class Sealed(CmsError):
    """The installation is sealed."""

    status = 423


class TooManyRequests(CmsError):
    """A rate or a quota is used up; ``retry_after`` tells when to try again."""

    status = 429


class InternalError(CmsError):
    """A defect, or a damaged store."""

    status = 500


class Unavailable(CmsError):
    """Something that is needed does not answer; a retry may help."""

    status = 503


class OutcomeUnknown(CmsError):
    """It may have been done, or not."""

    status = 504


class ClosedError(Unavailable):
    """The client was closed."""


class ForkedProcessError(Unavailable):
    """The client was opened before the process forked."""


_BY_STATUS: dict[int, type[CmsError]] = {
    kind.status: kind
    for kind in (
        InvalidRequest,
        Unauthenticated,
        Denied,
        NotFound,
        Conflict,
        StaleVersion,
        TooLarge,
        UnsupportedMedia,
        Unprocessable,
        Sealed,
        TooManyRequests,
        InternalError,
        Unavailable,
        OutcomeUnknown,
    )
}


def from_problem(status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> CmsError:
    """Turns an answer in the form of RFC 9457 into the exception that the same refusal is elsewhere."""
    kind = _BY_STATUS.get(status, InvalidRequest if status < 500 else InternalError)
    return kind(
        str(problem.get("detail", f"the server answered {status}")),
        code=str(problem.get("code", "unexpected_answer")),
        hint=problem.get("hint"),
        request_id=problem.get("request_id"),
        retry_after=retry_after,
        errors=problem.get("errors", ()),
    )
