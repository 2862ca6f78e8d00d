/** Logging in: the token becomes a cookie that scripts can't read. */
import * as api from "./api.js";
import { byId } from "./dom.js";
import { initTheme } from "./theme.js";

initTheme(null);
byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("error").textContent = "";
  try {
    await api.login(byId("token").value.trim());
    location.assign("/");
  } catch (error) {
    byId("error").textContent = error.message;
    byId("token").select();
  }
});
