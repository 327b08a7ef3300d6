// Wallets for trying, announced like any other (EIP-6963). Only a development server has this file and what signs for it:
// the signatures are real, the keys are not secret.
const KEPT = "freeside.burner";
const LOCAL_CHAIN = "0x7a69";

const icon = (hull, lit) =>
  `data:image/svg+xml,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="${hull}"/><path d="M16 8a8 8 0 0 1 0 16z" fill="${lit}"/><circle cx="16" cy="16" r="10" fill="none" stroke="${lit}" stroke-width="2"/></svg>`,
  )}`;

// A key of this browser's own: another one each time the storage is emptied, or always where there is none.
const burner = () => {
  const make = () => `0x${[...crypto.getRandomValues(new Uint8Array(32))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  try {
    const key = localStorage.getItem(KEPT) ?? make();
    localStorage.setItem(KEPT, key);
    return key;
  } catch {
    return make();
  }
};

const ask = async (wallet, message) => {
  const body = JSON.stringify(message === undefined ? { wallet } : { wallet, message });
  const answer = await fetch("/dev/burner/sign", { method: "POST", headers: { "content-type": "application/json" }, body });
  if (!answer.ok) throw { code: 4900, message: "the development server does not sign" };
  return answer.json();
};

// A wallet gets its text as hexadecimal bytes (personal_sign).
const text = (hex) => new TextDecoder().decode(Uint8Array.from(hex.slice(2).match(/../g) ?? [], (pair) => parseInt(pair, 16)));

const provider = (wallet) => ({
  async request({ method, params = [] }) {
    switch (method) {
      case "eth_requestAccounts":
      case "eth_accounts":
        return [(await ask(wallet())).address];
      case "eth_chainId":
        return LOCAL_CHAIN;
      case "personal_sign":
        return (await ask(wallet(), text(params[0]))).signature;
      default:
        throw { code: 4200, message: `${method} is not what this wallet is for` };
    }
  },
});

let kept;
const wallets = [
  { rdns: "test.freeside.high", name: "Demo wallet: tier 8, administrator", icon: icon("#0b5b4c", "#f2ab5e"), provider: provider(() => "high") },
  { rdns: "test.freeside.low", name: "Demo wallet: tier 2", icon: icon("#87897b", "#fffefa"), provider: provider(() => "low") },
  { rdns: "test.freeside.burner", name: "Burner wallet of this browser", icon: icon("#9c2f1d", "#fbe9d0"), provider: provider(() => (kept ??= burner())) },
];
const announce = () => {
  for (const { provider, ...info } of wallets) {
    const detail = Object.freeze({ info: Object.freeze({ uuid: info.rdns, ...info }), provider });
    dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  }
};
addEventListener("eip6963:requestProvider", announce);
announce();
