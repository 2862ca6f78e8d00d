"""What AWS answers and what we make of it; credentials, regions and endpoints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.loaders
import obstore
import pytest
from obstore.store import S3Store
from servers.http_stub import Reply, Stub, hang_up, http, silence, stubbed
from servers.ministack import Ministack, environment

from clipline.adapters import aws
from clipline.adapters.sns import SnsNotifier
from clipline.adapters.sqs import SqsQueue
from clipline.contract.errors import NotFound, Refused, ServiceError, Unavailable
from clipline.pipeline.ports import Message

TOPIC = "arn:aws:sns:us-west-1:123456789012:clips"


@pytest.fixture(scope="module")
def loader() -> Any:
    """botocore's descriptions of services, which take a quarter of a second to read."""
    return botocore.loaders.create_loader()


@pytest.fixture(autouse=True)
def configure(monkeypatch: pytest.MonkeyPatch, loader: Any) -> Iterator[Callable[..., None]]:
    """Sets AWS's variables, and no others of them; each test begins without any."""
    monkeypatch.setattr("botocore.loaders.create_loader", lambda _: loader)

    def set_variables(**variables: str) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        for name, value in {**files, **variables}.items():
            monkeypatch.setenv(name, value)
        aws.session.cache_clear()

    set_variables()
    yield set_variables
    aws.session.cache_clear()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long botocore would have slept between attempts, in seconds."""
    slept: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", slept.append)
    return slept


@pytest.fixture
def stub(configure: Callable[..., None]) -> Iterator[Stub]:
    """Stands for SQS and SNS."""
    with stubbed() as made:
        configure(**environment(made.url))
        yield made


def sqs_error(status: int, code: str, message: str = "said so") -> Reply:
    return http(status, {"__type": f"com.amazonaws.sqs#{code}", "message": message})


def sns_error(status: int, code: str) -> Reply:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>said so</Message></Error>"
    return http(status, f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>".encode())


# Errors


@pytest.mark.parametrize(
    "reply",
    [
        http(500), http(502, b"<html>Bad gateway</html>"), http(503), http(429),
        sqs_error(400, "ThrottlingException"), sqs_error(400, "RequestThrottled"),
        sqs_error(500, "InternalFailure"), sqs_error(503, "ServiceUnavailable"),
        sqs_error(400, "RequestTimeoutException"),
        hang_up, lambda send: send(b"SSH-2.0-OpenSSH_9.2\r\n"),
    ],
)  # fmt: skip
def test_what_a_repeat_may_cure_is_repeated_then_unavailable(
    stub: Stub, naps: list[float], reply: Reply
) -> None:
    stub.replies = [reply]
    with pytest.raises(Unavailable, match=f"send to {stub.url}/1/queue: ") as caught:
        SqsQueue(f"{stub.url}/1/queue").send("x")
    assert caught.value.retryable
    assert len(stub.seen) in (1, 3)
    assert len(naps) == len(stub.seen) - 1

    stub.seen.clear()
    stub.replies = [
        http(503),
        http(200, {"MessageId": "1", "MD5OfMessageBody": "9dd4e461268c8034f5c8564e155c67a6"}),
    ]
    SqsQueue(f"{stub.url}/1/queue").send("x")
    assert len(stub.seen) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "OverLimit"), (400, "KmsThrottled"), (400, "TooManyRequestsException"), (408, "Whatever")],
)
def test_time_heals_these_as_well(stub: Stub, naps: list[float], status: int, code: str) -> None:
    stub.replies = [sqs_error(status, code)]
    with pytest.raises(Unavailable, match=f"{code}: said so"):
        SqsQueue(f"{stub.url}/1/queue").receive(most=1, wait_s=0, visibility_s=1)


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (403, "AccessDenied", "a policy must allow SendMessage there"),
        (400, "AccessDeniedException", "a policy must allow SendMessage there"),
        (403, "InvalidClientTokenId", "AWS_ACCESS_KEY_ID"),
        (400, "UnrecognizedClientException", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "AWS_ACCESS_KEY_ID"),
        (403, "ExpiredToken", "sign in again"),
        (400, "ExpiredTokenException", "sign in again"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "InvalidMessageContents", ""),
        (400, "InvalidParameterValue", ""),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(
    stub: Stub, naps: list[float], status: int, code: str, hint: str
) -> None:
    stub.replies = [sqs_error(status, code, "said\x1b so")]
    with pytest.raises(Refused, match=f"{code}: said") as caught:
        SqsQueue(f"{stub.url}/1/queue").send("x")
    assert hint in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert (len(stub.seen), naps) == (1, [])


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (sns_error(404, "NotFound"), NotFound),
        (sns_error(403, "AuthorizationError"), Refused),
        (sns_error(400, "InvalidParameter"), Refused),
        (sns_error(400, "KMSThrottling"), Unavailable),
        (sns_error(400, "Throttling"), Unavailable),
        (sns_error(500, "InternalFailure"), Unavailable),
        (http(200, b"not XML"), Unavailable),
    ],
)
def test_errors_of_topics(stub: Stub, naps: list[float], reply: Reply, kind: type[ServiceError]) -> None:
    stub.replies = [reply]
    with pytest.raises(kind, match=f"publish to {TOPIC}: ") as caught:
        SnsNotifier(TOPIC).publish({"status": "CLIP_PENDING"})
    assert type(caught.value) is kind


def test_a_topic_that_may_not_be_looked_at_passes(stub: Stub, naps: list[float]) -> None:
    stub.replies = [sns_error(403, "AuthorizationError"), sns_error(403, "InvalidClientTokenId")]
    SnsNotifier(TOPIC).check()
    with pytest.raises(Refused, match="InvalidClientTokenId"):
        SnsNotifier(TOPIC).check()


@pytest.mark.parametrize("code", ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"])
def test_a_missing_queue(stub: Stub, code: str) -> None:
    stub.replies = [sqs_error(400, code)]
    with pytest.raises(NotFound, match="check its name, the region and the account"):
        SqsQueue(f"{stub.url}/1/queue").send("x")


@pytest.mark.parametrize(
    ("status", "code"), [(404, "ReceiptHandleIsInvalid"), (400, "InvalidParameterValue")]
)
def test_deleting_with_a_receipt_that_expired(stub: Stub, status: int, code: str) -> None:
    message = "Value AQEB for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    stub.replies = [sqs_error(status, code, message)]
    SqsQueue(f"{stub.url}/1/queue").delete(Message("m", "x", 0, 1, "AQEB"))
    assert len(stub.seen) == 1


def test_nobody_listens(configure: Callable[..., None], naps: list[float]) -> None:
    configure(**environment("http://127.0.0.1:1"))
    with pytest.raises(Unavailable, match="Connection refused"):
        SqsQueue("http://127.0.0.1:1/1/queue").send("x")
    assert len(naps) == 2


def test_a_server_that_says_nothing(stub: Stub, naps: list[float]) -> None:
    stub.replies = [silence(stub)]
    began = time.monotonic()
    client = aws.client("sqs", target=stub.url, deadline_s=4.5)
    with pytest.raises(Unavailable, match=r"no answer within 0\.5 s"), aws.translate("ask", stub.url):
        client.list_queues()
    assert time.monotonic() - began < 4.5
    assert len(stub.seen) == 3


def test_a_long_poll_is_waited_for(stub: Stub) -> None:
    """The answer comes later than a call without a wait would take."""

    def late(send: Callable[[bytes], object]) -> None:
        stub.stopping.wait(1)
        http(200, {})(send)

    stub.replies = [late]
    client = aws.client("sqs", target=stub.url, deadline_s=4.5, wait_s=20)
    client.receive_message(QueueUrl=stub.url)
    assert len(stub.seen) == 1


# Credentials


def test_no_credentials(configure: Callable[..., None]) -> None:
    configure(AWS_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")
    queue = SqsQueue("http://127.0.0.1:1/1/queue")
    for call in (lambda: queue.send("x"), aws.s3_options):
        began = time.monotonic()
        with pytest.raises(Refused, match=r"no AWS credentials were found \(set AWS_PROFILE, or"):
            call()
        assert time.monotonic() - began < 2


def test_no_credentials_where_the_metadata_service_is_silent(configure: Callable[..., None]) -> None:
    with stubbed() as metadata:
        metadata.replies = [silence(metadata)]
        configure(AWS_REGION="us-east-1", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url)
        began = time.monotonic()
        with pytest.raises(Refused, match="no AWS credentials were found"):
            aws.s3_options()
        assert time.monotonic() - began < 4
        assert metadata.seen


def test_credentials_that_come_later_are_found(stub: Stub, configure: Callable[..., None]) -> None:
    stub.replies = [http(200, {})]
    queue = SqsQueue(f"{stub.url}/1/queue")
    keys = environment(stub.url)
    configure(**{name: value for name, value in keys.items() if "KEY" not in name})
    with pytest.raises(Refused, match="no AWS credentials"):
        queue.receive(most=1, wait_s=0, visibility_s=1)
    configure(**keys)
    assert queue.receive(most=1, wait_s=0, visibility_s=1) == []


def test_no_region(configure: Callable[..., None]) -> None:
    configure(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    with pytest.raises(Refused, match=r"no AWS region is configured \(set AWS_REGION\)"):
        SqsQueue("http://127.0.0.1:1/1/queue").send("x")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"AWS_PROFILE": "missing"}, "missing"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "AWS_ENDPOINT_URL"),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": ""}, "AWS_"),
        ({"AWS_REGION": "no such region!"}, "no such region!"),
    ],
)
def test_settings_that_make_no_sense(
    configure: Callable[..., None], variables: Mapping[str, str], named: str
) -> None:
    configure(**{**environment("http://127.0.0.1:1"), **variables})
    with pytest.raises(Refused) as caught:
        SqsQueue("http://127.0.0.1:1/1/queue").send("x")
    assert named in str(caught.value)


def credential_process(directory: Path, life: timedelta) -> str:
    """A command that hands out other temporary keys at each call."""
    script = directory / "credentials.py"
    expires = (datetime.now(UTC) + life).isoformat()
    script.write_text(
        "import json, pathlib\n"
        f"calls = pathlib.Path({str(directory / 'calls')!r})\n"
        "number = len(calls.read_text()) if calls.exists() else 0\n"
        "calls.write_text('x' * (number + 1))\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'key{number}', 'SecretAccessKey': 'secret',\n"
        f"                  'SessionToken': 'token', 'Expiration': {expires!r}}}))\n"
    )
    return f"{sys.executable} {script}"


def test_temporary_credentials_are_refreshed_in_time(configure: Callable[..., None], tmp_path: Path) -> None:
    config = tmp_path / "config"
    for life, keys in ((timedelta(hours=1), ["key0", "key0"]), (timedelta(minutes=9), ["key1", "key2"])):
        process = credential_process(tmp_path, life)
        config.write_text(f"[profile clips]\nregion = eu-west-1\ncredential_process = {process}\n")
        configure(AWS_CONFIG_FILE=str(config), AWS_PROFILE="clips")
        options = aws.s3_options()
        provide = options["credential_provider"]
        first, second = provide(), provide()
        assert [one["access_key_id"] for one in (first, second)] in (keys, ["key2", "key3"])
        assert (first["secret_access_key"], first["token"]) == ("secret", "token")
        assert first["expires_at"] <= datetime.now(UTC) + timedelta(minutes=10)
        assert options["region"] == "eu-west-1"


def test_a_credential_process_that_fails_is_unavailable(
    configure: Callable[..., None], tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile clips]\nregion = eu-west-1\ncredential_process = false\n")
    configure(AWS_CONFIG_FILE=str(config), AWS_PROFILE="clips")
    with pytest.raises(Unavailable, match="Error when retrieving credentials"):
        aws.s3_options()


# Storage


def test_storage_on_aws_itself(configure: Callable[..., None]) -> None:
    configure(AWS_REGION="us-west-1", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_SESSION_TOKEN="t")
    options = dict(aws.s3_options())
    credentials = options.pop("credential_provider")()
    assert options == {"region": "us-west-1"}
    del credentials["expires_at"]
    assert credentials == {"access_key_id": "a", "secret_access_key": "b", "token": "t"}


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({"AWS_ENDPOINT_URL": "http://a:1"}, "http://a:1"),
        ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_S3": "https://b"}, "https://b"),
        ({"AWS_ENDPOINT_URL_SQS": "http://a:1"}, "http://of-profile"),
        ({}, "http://of-profile"),
        ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": "http://a:1"}, None),
    ],
)
def test_the_endpoint_of_storage(
    configure: Callable[..., None], tmp_path: Path, variables: Mapping[str, str], endpoint: str | None
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile clips]\nregion = eu-west-1\nservices = local\n"
        "aws_access_key_id = a\naws_secret_access_key = b\n"
        "[services local]\ns3 =\n  endpoint_url = http://of-profile\n"
    )
    configure(AWS_CONFIG_FILE=str(config), AWS_PROFILE="clips", **variables)
    options = aws.s3_options()
    assert options.get("endpoint") == endpoint
    if endpoint is not None:
        assert options["virtual_hosted_style_request"] is False
        assert options["client_options"] == {"allow_http": endpoint.startswith("http:")}
    S3Store("clips", **options)


def test_storage_and_clients_take_on_a_role(
    configure: Callable[..., None], ministack: Ministack, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile base]\naws_access_key_id = test\naws_secret_access_key = test\n"
        f"[profile clips]\nregion = us-east-1\nendpoint_url = {ministack.url}\n"
        "role_arn = arn:aws:iam::000000000000:role/clips\nsource_profile = base\n"
    )
    configure(AWS_CONFIG_FILE=str(config), AWS_PROFILE="clips")
    s3: Any = aws.session().create_client("s3")
    s3.create_bucket(Bucket="role-clips")
    options = aws.s3_options()
    assert options["credential_provider"]()["token"]
    store = S3Store("role-clips", **options)
    obstore.put(store, "a/b", b"x" * 1000)
    assert bytes(obstore.get(store, "a/b").bytes()) == b"x" * 1000

    url = aws.client("sqs", target="test").create_queue(QueueName="role-clips")["QueueUrl"]
    SqsQueue(url).send("x")


# Regions


def test_the_region_of_the_topic_counts(stub: Stub, configure: Callable[..., None]) -> None:
    stub.replies = [http(200, b"<PublishResponse><PublishResult/></PublishResponse>")]
    for region in ({}, {"AWS_REGION": "eu-west-1"}):
        keys = {name: value for name, value in environment(stub.url).items() if "REGION" not in name}
        configure(**keys, **region)
        SnsNotifier(TOPIC).publish({"status": "CLIP_PENDING"})
        assert "/us-west-1/sns/aws4_request" in stub.seen[-1].headers["authorization"]
