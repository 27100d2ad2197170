// Promises the only script of the pages: it asks the browser for a passkey and sends the answer with the form. Without it a password still works.
// Allowed by its digest in the policy of the page; reads its options from the form. WebAuthn Level 3 §5.1.3, §5.1.4 (JSON forms are read by hand: older browsers).
export const passkeyScript = `"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const credentials = (list) => list.map((one) => ({ ...one, id: bytes(one.id) }));
  const answer = (made) => {
    const from = made.response;
    const response = { clientDataJSON: text(from.clientDataJSON) };
    if (from.attestationObject) {
      response.attestationObject = text(from.attestationObject);
      response.transports = from.getTransports ? from.getTransports() : [];
    } else {
      response.authenticatorData = text(from.authenticatorData);
      response.signature = text(from.signature);
      response.userHandle = from.userHandle ? text(from.userHandle) : "";
    }
    return JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response });
  };
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    if (!window.PublicKeyCredential) continue;
    form.hidden = false;
    const said = form.querySelector("[data-said]");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      said.textContent = "";
      try {
        const options = JSON.parse(form.dataset.options);
        options.challenge = bytes(options.challenge);
        if (options.user) options.user.id = bytes(options.user.id);
        if (options.excludeCredentials) options.excludeCredentials = credentials(options.excludeCredentials);
        const made = form.dataset.passkey === "create"
          ? await navigator.credentials.create({ publicKey: options })
          : await navigator.credentials.get({ publicKey: options });
        form.elements.namedItem("response").value = answer(made);
        form.submit();
      } catch (error) {
        said.textContent = error.name === "InvalidStateError"
          ? "This device already has a passkey for this account."
          : "No passkey was used. Try again, or use another way.";
      }
    });
  }
})();
`;
