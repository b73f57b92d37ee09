// The dialog of an operator's orders; the server has it only where it was started with an operator's token.

const WHAT = {
  kill: ["kill switch on", "Every setting goes back to its default, and the node refuses all actions until it is revived."],
  revive: ["kill switch off", "The node takes actions again."],
  observe: ["xApp: observe", "What the xApp holds goes back to its default; its actions are refused."],
  recommend: ["xApp: recommend", "What the xApp holds goes back to its default; its actions are judged and not carried out."],
  act: ["xApp: act", "The xApp's actions take effect again."],
};

export class OrderDialog {
  constructor(catalogues, xapps) {
    this.catalogues = catalogues; // () => names of nodes
    this.xapps = xapps; // () => names of xApps
    this.get = (name) => document.getElementById(`order-${name}`);
    for (const [key, [label]] of Object.entries(WHAT)) this.get("what").add(new Option(label, key));
    document.getElementById("order").addEventListener("click", () => this.open());
    for (const name of ["what", "node", "xapp", "confirm", "token"]) this.get(name).addEventListener("input", () => this.check());
    this.get("send").addEventListener("click", () => this.send());
  }

  open() {
    const [node, xapp] = [this.get("node"), this.get("xapp")];
    node.replaceChildren(...["all", ...this.catalogues()].map((name) => new Option(name)));
    xapp.replaceChildren(...this.xapps().map((name) => new Option(name)));
    this.get("confirm").value = "";
    this.get("answer").textContent = "";
    this.check();
    document.getElementById("order-dialog").showModal();
  }

  check() {
    const what = this.get("what").value;
    const ofXapp = !["kill", "revive"].includes(what);
    this.get("xapp").disabled = !ofXapp;
    this.get("effect").textContent = WHAT[what][1];
    const isConfirmed = this.get("confirm").value.trim() === this.get("node").value;
    this.get("send").disabled = !(isConfirmed && this.get("token").value && (!ofXapp || this.get("xapp").value));
  }

  async send() {
    const what = this.get("what").value;
    const order = { what, node: this.get("node").value, xapp: ["kill", "revive"].includes(what) ? "" : this.get("xapp").value, confirm: this.get("confirm").value.trim() };
    this.get("send").disabled = true;
    this.get("answer").textContent = "ordered; waiting for the guards";
    try {
      const answer = await fetch("order", {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.get("token").value}` },
        body: JSON.stringify(order),
      });
      this.get("answer").textContent = await answer.text();
    } catch {
      this.get("answer").textContent = "the server did not answer; look whether the order stands before you give it again";
    }
    this.get("confirm").value = "";
  }
}
