"""Files that name other files: nothing of what they name is opened, and the reason is told."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from media.patched import box, full_box, patch, replaced
from media.truth import START_MS, Recorded, expected_numbers, make_clip, record, show

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import NoFrames
from clipline.contract.interval import Interval
from clipline.media.footage import Footage

SMALL = Footage(width=320, height=180, duration_s=3, gop_s=1)
DATA_INFORMATION = "moov/trak0/mdia/minf/dinf"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("sound"), SMALL)[0]


def playlists(beside: Path, port: int) -> dict[str, bytes]:
    """Each names a recording that is there to be cut, and a listening port."""
    url = f"http://127.0.0.1:{port}/secret.mp4"
    return {
        "concat": f"ffconcat version 1.0\nfile '{beside}'\nfile '/etc/passwd'\n".encode(),
        "concat of urls": f"ffconcat version 1.0\nfile 'file:{beside}'\nfile '{url}'\n".encode(),
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{beside}\n#EXTINF:9,\n{url}\n".encode(),
        "hls master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}\n".encode(),
        "dash": f'<?xml version="1.0"?><MPD><BaseURL>{url}</BaseURL></MPD>'.encode(),
        "sdp": f"v=0\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n".encode(),
        "url": f"{url}\n".encode(),
    }


NAMES = list(playlists(Path("x"), 0))


@pytest.fixture
def unvisited() -> Iterator[int]:
    """A port that listens; at the end, nobody may have come."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        yield server.getsockname()[1]
        with pytest.raises(TimeoutError):
            server.accept()


def cut_beside(sound: Recorded, hostile: Path, directory: Path) -> str:
    """Cut the hostile file alone, then behind a sound recording; why it is left out."""
    after = replace(sound, path=hostile, start_ms=START_MS + 3_000)
    alone = Interval(START_MS + 3_500, START_MS + 5_000)
    with pytest.raises(NoFrames) as caught:
        make_clip([after], alone, directory, gap_policy=GapPolicy.HOLD)
    assert not (directory / "clip.mp4").exists()
    both = Interval(START_MS + 1_300, START_MS + 5_500)
    report = make_clip([sound, after], both, directory, gap_policy=GapPolicy.SKIP)
    assert [frame.number for frame in show(report.clip)] == expected_numbers([sound], both)
    (gap,) = [part for part in report.details["coverage"] if "gap" in part]
    assert gap["gap"] == str(caught.value)
    return str(gap["gap"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mkv"])
def test_playlists_are_no_recordings(
    name: str, suffix: str, sound: Recorded, unvisited: int, tmp_path: Path
) -> None:
    hostile = tmp_path / f"pier.20180916T160020033{suffix}"
    hostile.write_bytes(playlists(sound.path, unvisited)[name])
    reason = cut_beside(sound, hostile, tmp_path)
    assert reason.startswith(f"{hostile.name}: it is no MP4 file")


def external(kind: str, target: str) -> bytes:
    """``dinf`` whose footage lies at ``target`` (ISO/IEC 14496-12, section 8.7.2; QuickTime's alias)."""
    location = target.encode() + b"\0"
    if kind == "urn ":
        location = b"urn:x\0" + location
    elif kind == "alis":
        name = location[:63]
        record = bytes(8) + bytes([27]) + name.ljust(132, b"\0") + struct.pack(">Hhh", 2, len(location), 0)
        location = record + location
    return box("dinf", full_box("dref", 0, struct.pack(">I", 1), full_box(kind, 0, location)))


@pytest.mark.parametrize("kind", ["url ", "urn ", "alis"])
@pytest.mark.parametrize(
    "target", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:{port}/secret.mp4"]
)
def test_footage_in_another_file_is_named(
    kind: str, target: str, sound: Recorded, unvisited: int, tmp_path: Path
) -> None:
    patched = patch(sound, replaced(DATA_INFORMATION, external(kind, target.format(port=unvisited))))
    reason = cut_beside(sound, patched.path, tmp_path)
    assert reason == (
        f"{patched.path.name}: its footage lies in another file; footage in the file itself can be cut"
    )
