"use strict";
// The one script of these pages: hands a challenge to the browser's authenticator and its answer to the form.

const form = document.getElementById("passkey");

function bytes(text) {
  const padded = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(padded), (character) => character.charCodeAt(0));
}

function text(buffer) {
  const characters = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(characters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function read(options) {
  options.challenge = bytes(options.challenge);
  if (options.user) options.user.id = bytes(options.user.id);
  for (const list of [options.excludeCredentials, options.allowCredentials]) {
    for (const known of list || []) known.id = bytes(known.id);
  }
  return options;
}

function written(credential) {
  const answer = credential.response;
  const response = { clientDataJSON: text(answer.clientDataJSON) };
  if (answer.attestationObject) {
    response.attestationObject = text(answer.attestationObject);
  } else {
    response.authenticatorData = text(answer.authenticatorData);
    response.signature = text(answer.signature);
    if (answer.userHandle) response.userHandle = text(answer.userHandle);
  }
  return JSON.stringify({
    id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

async function ask() {
  const publicKey = read(JSON.parse(form.dataset.options));
  return form.dataset.kind === "create"
    ? navigator.credentials.create({ publicKey })
    : navigator.credentials.get({ publicKey });
}

form.addEventListener("submit", async (event) => {
  const field = form.elements.namedItem("credential");
  if (!event.submitter || event.submitter.value === "decline" || field.value) return;
  event.preventDefault();
  const problem = document.getElementById("passkey-error");
  problem.hidden = true;
  try {
    field.value = written(await ask());
    form.requestSubmit(event.submitter);
  } catch (error) {
    field.value = "";
    problem.textContent = "The passkey was not used. Try again, or cancel.";
    problem.hidden = false;
  }
});
