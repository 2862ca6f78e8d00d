"""Sessions with AWS: clients, credentials for storage, and what AWS's errors mean to us.

The only module that imports botocore, and only when it is needed: who works with folders alone waits for
nothing. (boto3 would hand out the same clients, a sixth slower.) Settings come from wherever AWS tools look
for them: the environment, ``AWS_PROFILE`` and the configuration files, roles, the metadata of the machine.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

import urllib3

from clipline.adapters import http
from clipline.contract.errors import NotFound, Refused, ServiceError, Unavailable
from clipline.contract.text import shorten

if TYPE_CHECKING:
    from botocore.awsrequest import AWSResponse
    from botocore.exceptions import ClientError
    from botocore.session import Session
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

MOST_ANSWER_BYTES = 32 * 1024 * 1024
"""SQS hands out ten messages of 1 MiB at most, which JSON's escapes can make 24 MiB of."""

_MOST_ATTEMPTS = 3
_PAUSES_S = 3.0  # what standard mode waits between three attempts, at most: 1 s and 2 s
_SHORTEST_ATTEMPT_S = 0.5
_CREDENTIALS_S = 10.0  # an attempt to get temporary ones
_SENDER = "clipline"
_CREDENTIAL_LIFE = timedelta(minutes=10)

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}", re.ASCII)
_AWS_HOST = re.compile(r"\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_BUSY = re.compile(
    r"Throttl|TooManyRequests|LimitExceeded|OverLimit|SlowDown|PriorRequestNotComplete|RequestTimeout"
    r"|Unavailable|Internal(?:Error|Failure)"
)
_MISSING = re.compile(r"(?:^|\.)(?:NonExistentQueue|QueueDoesNotExist|NotFound(?:Exception)?|NoSuch\w+)$")
_DENIED = r"AccessDenied|AuthorizationError|Forbidden"
_HINTS = {
    _DENIED: "a policy must allow {operation} there",
    r"InvalidClientTokenId|UnrecognizedClient|InvalidAccessKeyId|SignatureDoesNotMatch|InvalidSecurity": (
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    ),
    r"ExpiredToken": "the session has expired: sign in again",
    r"RequestExpired|TimeTooSkewed|InvalidSignature": "check the keys, and this machine's clock",
}
_NO_CREDENTIALS = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"
)
_LOCK = threading.Lock()  # making clients is not thread-safe, using them is


@overload
def client(
    service: Literal["sqs"], *, target: str, deadline_s: float = 30, wait_s: float = 0
) -> SQSClient: ...
@overload
def client(
    service: Literal["sns"], *, target: str, deadline_s: float = 30, wait_s: float = 0
) -> SNSClient: ...
def client(service: Any, *, target: str, deadline_s: float = 30, wait_s: float = 0) -> Any:
    """A client, safe to use from several threads, for ``target``: the URL of a queue or a topic's ARN.

    The region is the one that ``target`` names, else the configured one. A call with up to three attempts
    takes ``deadline_s`` at most, but for finding credentials; ``wait_s`` comes on top of each attempt, for
    long polls. Raises Refused without a region or credentials. That is not remembered: the next call looks
    for them again.
    """
    attempt_s = max(_SHORTEST_ATTEMPT_S, (deadline_s - _PAUSES_S) / _MOST_ATTEMPTS)
    with _LOCK, translate("connect to", target):
        from botocore.config import Config
        from botocore.exceptions import NoCredentialsError

        if session().get_credentials() is None:
            raise NoCredentialsError
        config = Config(
            retries={"mode": "standard", "total_max_attempts": _MOST_ATTEMPTS},
        )
        try:
            made = session().create_client(service, region_name=region_of(target), config=config)
        except ValueError as error:  # what botocore makes of an endpoint that is no URL
            raise Refused("connect to", target, str(error), hint="check AWS_ENDPOINT_URL") from error
        # All handlers of an event are called: this one takes the place of the session's.
        made.meta.events.unregister("before-send", unique_id=_SENDER)
        made.meta.events.register("before-send", _sender(session(), attempt_s + wait_s), unique_id=_SENDER)
        return made


@cache
def session() -> Session:
    """The one session; ``session.cache_clear()`` forgets it, for tests that change the environment."""
    from botocore.session import get_session

    made = get_session()
    # botocore reads AWS_DEFAULT_REGION alone; the other tools of AWS read this one, first.
    if region := os.environ.get("AWS_REGION"):
        made.set_config_variable("region", region)
    made.register("before-send", _sender(made, _CREDENTIALS_S), unique_id=_SENDER)
    return made


def _sender(made: Session, attempt_s: float) -> Any:
    """A handler of botocore's event before-send, which sends what botocore's client would.

    botocore's own time limit starts anew with every byte, and it reads any answer whole; here an attempt,
    connecting included, takes ``attempt_s`` at most, and an answer has ``MOST_ANSWER_BYTES`` at most.
    Retries, signatures and parsing stay botocore's, as do the certificates that are trusted (AWS_CA_BUNDLE,
    ca_bundle in the profile, REQUESTS_CA_BUNDLE) and the proxies (HTTP_PROXY, HTTPS_PROXY, NO_PROXY). What
    ``botocore.config.Config`` says of connections does not count. The metadata service of a machine is asked
    by botocore itself, and so are bodies that a client reads as streams: SQS, SNS and STS have none.
    """
    from botocore import exceptions
    from botocore.awsrequest import AWSResponse

    client = _http_client(_ca_bundle(made))

    class Unanswered(exceptions.HTTPClientError):  # which botocore repeats, as it does its own
        fmt = "{error}"

    def send(request: Any, **_: object) -> AWSResponse | None:
        if request.stream_output:
            return None
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        body = request.body.encode() if isinstance(request.body, str) else request.body
        until = time.monotonic() + attempt_s
        try:
            answer = client.request(
                request.method, request.url, headers=headers, body=body, until=until,
                most_bytes=MOST_ANSWER_BYTES,
            )  # fmt: skip
        except http.Setback as setback:
            raise Unanswered(error=setback) from setback
        raw = urllib3.HTTPResponse(io.BytesIO(answer.body), preload_content=False)
        headers_of_answer: Any = answer.headers
        return AWSResponse(request.url, answer.status, headers_of_answer, raw)

    return send


@cache
def _http_client(ca_bundle: str) -> http.Client:
    return http.Client(ca_bundle=ca_bundle, proxies=True)


def _ca_bundle(made: Session) -> str:
    """A file of certificates: what botocore would look at."""
    from botocore.httpsession import get_cert_path

    found = made.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return str(found or get_cert_path(True))


def region_of(target: str) -> str | None:
    """The region in an ARN or in the URL of a queue on AWS; None where none is named."""
    if target.startswith("arn:"):
        labels = target.split(":")[3:4]
    else:
        host = urlsplit(target).hostname or ""
        labels = host.split(".") if _AWS_HOST.search(host) else []
    return next((label for label in labels if _REGION.fullmatch(label)), None)


def s3_options() -> Mapping[str, Any]:
    """Keyword arguments for ``obstore.store.S3Store``, so that storage follows the settings of AWS too.

    obstore reads environment variables on its own, but neither profiles nor roles. Raises Refused without
    credentials.
    """
    with _LOCK, translate("find credentials for", "S3"):
        from botocore.exceptions import NoCredentialsError

        credentials = session().get_credentials()
        if credentials is None:
            raise NoCredentialsError
        region, endpoint = session().get_config_variable("region"), _s3_endpoint()

    def provide() -> dict[str, Any]:
        with translate("refresh credentials for", "S3"):
            frozen = credentials.get_frozen_credentials()
        # botocore hands out nothing that expires within ten minutes; obstore asks again after five of them.
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIAL_LIFE,
        }

    options: dict[str, Any] = {"credential_provider": provide}
    if region is not None:
        options["region"] = region
    if endpoint is not None:
        options["endpoint"] = endpoint
        options["virtual_hosted_style_request"] = False  # few servers but AWS's have a name per bucket
        options["client_options"] = {"allow_http": endpoint.startswith("http:")}
    return options


def _s3_endpoint() -> str | None:
    """AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or what the profile says, in botocore's order."""
    from botocore.configprovider import ConfiguredEndpointProvider

    if session().get_config_variable("ignore_configured_endpoint_urls"):
        return None
    provider = ConfiguredEndpointProvider(session().full_config, session().get_scoped_config(), "s3")
    found = provider.provide()
    return str(found) if found else None


@contextmanager
def translate(operation: str, target: str) -> Iterator[None]:
    """Turn what botocore raises into Unavailable, NotFound or Refused, in the sense of the ports."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        yield
    except exceptions.ClientError as error:
        raise _answered(operation, target, error) from error
    except exceptions.NoCredentialsError as error:
        raise Refused(operation, target, "no AWS credentials were found", hint=_NO_CREDENTIALS) from error
    except exceptions.NoRegionError as error:
        raise Refused(operation, target, "no AWS region is configured", hint="set AWS_REGION") from error
    except (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
        exceptions.CredentialRetrievalError,
        exceptions.MetadataRetrievalError,
        ResponseParserError,
    ) as error:
        raise Unavailable(operation, target, shorten(str(error), 300)) from error
    except exceptions.BotoCoreError as error:
        raise Refused(
            operation, target, shorten(str(error), 300), hint="check the settings of AWS (AWS_...)"
        ) from error


def is_denied(error: Refused) -> bool:
    """Whether the credentials are sound, but no policy allows the operation."""
    return re.match(_DENIED, error.cause) is not None


def _answered(operation: str, target: str, error: ClientError) -> ServiceError:
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    said = str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    cause = shorten(f"{code}: {said}" if said else f"{code}, HTTP {status}", 300)
    if status >= 500 or status in (408, 429) or _BUSY.search(code):
        return Unavailable(operation, target, cause)
    if status == 404 or _MISSING.search(code):
        return NotFound(operation, target, cause, hint="check its name, the region and the account")
    hints = [hint for pattern, hint in _HINTS.items() if re.search(pattern, code)]
    hint = hints[0].format(operation=error.operation_name) if hints else None
    return Refused(operation, target, cause, hint=hint)
