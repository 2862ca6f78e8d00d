# clipline serve: a page, a camera API, a queue and workers for the recordings in /recordings.
#   docker build -t clipline . && docker run -p 8480:8480 -v /my/recordings:/recordings:ro -v clipline:/data clipline
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY requirements/runtime.txt requirements/
RUN python -m venv /opt/clipline \
 && /opt/clipline/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/clipline/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home clipline && install -d -o clipline -g clipline /data /recordings
COPY --from=build /opt/clipline /opt/clipline
ENV PATH=/opt/clipline/bin:$PATH PYTHONUNBUFFERED=1
USER clipline
VOLUME /data
EXPOSE 8480
HEALTHCHECK --start-period=20s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8480/health', timeout=5)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["clipline"]
# Beyond loopback it asks for a token: the link with it is the first line of the log.
CMD ["serve", "--recordings", "/recordings", "--data", "/data", "--host", "0.0.0.0"]
