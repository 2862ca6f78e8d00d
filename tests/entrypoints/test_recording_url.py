"""What a recordingUrl says is never fetched: its last part is a name, and the object store is asked."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = {
    "clipId": "canary",
    "cameraId": "1111111111111",
    "retryTimestamps": [],
    "startTimestampInMs": 1_537_119_391_000,
    "endTimestampInMs": 1_537_119_394_000,
}
RECORD = {
    "messageId": "m",
    "body": json.dumps(BODY),
    "receiptHandle": "r",
    "attributes": {"SentTimestamp": "1537119500000", "ApproximateReceiveCount": "1"},
}
NAMES = {
    "test.20180916T173532200.mp4": ("2018-09-16T17:35:32.200Z", "2018-09-16T17:36:32.200Z"),
    "test.20180916T173632200.mp4": ("2018-09-16T17:36:32.200Z", "2018-09-16T17:37:32.200Z"),
}


def test_no_host_in_a_recording_url_is_contacted(clipline, data, tmp_path):
    canary = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{canary.getsockname()[1]}"
    recordings = [
        {
            "startDate": start,
            "endDate": end,
            "alias": "test",
            "recordingUrl": f"http://{host}/x/{name}?sig=1",
            "thumbLargeUrl": f"http://{host}/large.jpg",
            "thumbSmallUrl": f"http://{host}/small.jpg",
        }
        for name, (start, end) in NAMES.items()
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(recordings if "/recording/" in self.path else {"alias": "test"})

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer({})

        def answer(self, document):
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    (tmp_path / "event.json").write_text(json.dumps({"Records": [RECORD]}))
    with canary, ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"CAM_SERVICES_URL=http://127.0.0.1:{server.server_port}"
        key = "RECORDING_KEY={alias}/{name}"
        result = clipline("invoke", "event.json", "--data", "data", "--json", "--set", address, "--set", key)
        server.shutdown()
        thread.join()
        canary.setblocking(False)
        try:
            raise AssertionError(f"contacted by {canary.accept()}")
        except BlockingIOError:  # nobody waits to be let in
            pass
    assert result.returncode == 0, result.stderr + result.stdout
    (document,) = json.loads(result.stdout)
    assert [part["recording"] for part in document["coverage"]] == list(NAMES)
