// What a <video> shows of a clip: each picture as it is presented, with its media time.
"use strict";

const ACROSS = 32, DOWN = 18; // blocks that a picture is averaged over
const LONGEST_MS = 20000;
const canvas = document.createElement("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
let video = document.getElementById("video");
let events = [];

function within(promise, what) {
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new Error(`${what} not within ${LONGEST_MS} ms; events: ${events}`)), LONGEST_MS));
  return Promise.race([promise, late]);
}

function happens(name) {
  return new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", () => reject(new Error(`error: ${failure()}`)), { once: true });
  });
}

function failure() {
  return video.error && `${video.error.code} ${video.error.message}`;
}

function base64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

// {time, strip: one row through the strip with the number (green), blocks: mean red, green, blue of each}
function look(time) {
  const [width, height] = [canvas.width, canvas.height];
  context.drawImage(video, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height).data;
  const strip = new Uint8Array(width);
  const middle = height - Math.floor(Math.max(Math.floor(height / 36), 2) / 2);
  for (let x = 0; x < width; x++) strip[x] = pixels[(middle * width + x) * 4 + 1];
  const sums = new Float64Array(ACROSS * DOWN * 3), counts = new Uint32Array(ACROSS * DOWN);
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor((y * DOWN) / height) * ACROSS;
    for (let x = 0; x < width; x++, at += 4) {
      const block = row + Math.floor((x * ACROSS) / width);
      counts[block]++;
      for (let channel = 0; channel < 3; channel++) sums[block * 3 + channel] += pixels[at + channel];
    }
  }
  return { time, strip: base64(strip), blocks: base64(Uint8Array.from(sums, (sum, i) => sum / counts[i / 3 | 0])) };
}

function presented() {
  return new Promise((resolve) => video.requestVideoFrameCallback((_, about) => resolve(look(about.mediaTime))));
}

async function load(url) {
  const fresh = document.createElement("video");
  video.removeAttribute("src");
  video.load();
  video.replaceWith(fresh);
  video = fresh;
  Object.assign(video, { preload: "auto", controls: true, muted: true });
  events = [];
  for (const name of ["error", "stalled", "abort", "emptied"]) {
    video.addEventListener(name, (event) => event.target === video && events.push(name));
  }
  const first = presented();
  video.src = url;
  await within(happens("loadeddata"), "loadeddata");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const picture = await within(first, "the first picture");
  return { duration: video.duration, width: video.videoWidth, height: video.videoHeight, picture };
}

// What is presented after a seek to each of the times
async function seek(times) {
  const seen = [];
  for (const time of times) {
    const picture = presented();
    const seeked = happens("seeked");
    video.currentTime = time;
    await within(seeked, `seeked to ${time}`);
    seen.push(await within(picture, `the picture at ${time}`));
  }
  return { seen, error: failure(), events };
}

// Every picture that is presented from the beginning to the end: at single speed around the joints, else faster
async function play(slow, fast) {
  const rateAt = (time) => (slow.some(([from, to]) => from <= time && time < to) ? 1 : fast);
  if (video.currentTime !== 0) {
    video.currentTime = 0;
    await within(happens("seeked"), "seeked to 0");
  }
  const seen = [];
  let on = true;
  const next = (_, about) => {
    if (!on) return;
    seen.push(look(about.mediaTime));
    const rate = rateAt(about.mediaTime);
    if (video.playbackRate !== rate) video.playbackRate = rate;
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
  const ended = happens("ended");
  video.playbackRate = rateAt(0);
  await video.play();
  await within(ended, "the end");
  await new Promise((resolve) => setTimeout(resolve, 50)); // till what is decoded is on the screen
  on = false;
  seen.push(look(video.currentTime));
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  return {
    seen, error: failure(), events, total: totalVideoFrames, dropped: droppedVideoFrames,
    audible: video.mozHasAudio ?? video.webkitAudioDecodedByteCount > 0,
  };
}
