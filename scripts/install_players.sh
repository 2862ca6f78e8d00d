#!/bin/sh
# Debian's players for tests/players, and strace and libde265 for tests/media. Fails, with the reason, where they
# are missing and can't be installed.
set -u

there() {
  command -v strace >/dev/null || return 1
  command -v libde265-dec265 >/dev/null || command -v dec265 >/dev/null || return 1
  command -v chromium >/dev/null && command -v firefox-esr >/dev/null && command -v gst-launch-1.0 >/dev/null || return 1
  for element in qtdemux h264parse openh264dec avdec_h264; do
    gst-inspect-1.0 --exists "$element" || return 1
  done
}

there && exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo 'Players for tests/players, strace or libde265 are missing; as root on Debian they are installed.' >&2
  exit 1
fi
# Firefox decodes H.264 with the libavcodec that gstreamer1.0-libav brings along.
echo 'Installing Chromium, Firefox, GStreamer, libde265 and strace ...'
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install --yes --no-install-recommends chromium firefox-esr gstreamer1.0-tools \
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav \
    libde265-examples strace; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
fi
rm -f "$log"
there || { echo 'Players for tests/players, strace or libde265 could not be installed.' >&2; exit 1; }
