// Wallets for a page: announced by EIP-6963, and signing with the keys of the demo's two wallets, which are public.
import { secp256k1 } from "@noble/curves/secp256k1";
import { keccak_256 } from "@noble/hashes/sha3";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils";

// The first two accounts of every local test chain: they own nothing anywhere.
const KEYS = [
  "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
  "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
];
const NAMES = ["Harbour Wallet", "Lighthouse Wallet"];
const COLOURS = ["#d66a2c", "#2c6ad6"];
// Base: a chain that messages may name.
const CHAIN = "0x2105";
const MESSAGES = {
  4001: "User rejected the request.",
  4100: "The requested account has not been authorized by the user.",
  4900: "The provider is disconnected from all chains.",
  [-32002]: "Request of type 'wallet_requestPermissions' already pending.",
};

/** An address with EIP-55's checksum. */
function address(key) {
  const point = secp256k1.getPublicKey(key, false).slice(1);
  const plain = bytesToHex(keccak_256(point).slice(-20));
  const sum = bytesToHex(keccak_256(utf8ToBytes(plain)));
  return `0x${[...plain].map((digit, at) => (parseInt(sum[at], 16) > 7 ? digit.toUpperCase() : digit)).join("")}`;
}

/** EIP-191: what `personal_sign` of a demo wallet answers. */
export function sign(index, message) {
  const bytes = /^0x([0-9a-f]{2})*$/i.test(message) ? hexToBytes(message.slice(2)) : utf8ToBytes(message);
  const head = utf8ToBytes(`\x19Ethereum Signed Message:\n${bytes.length}`);
  const signature = secp256k1.sign(keccak_256(concatBytes(head, bytes)), KEYS[index]);
  return `0x${signature.toCompactHex()}${(27 + signature.recovery).toString(16)}`;
}

export const ADDRESSES = KEYS.map(address);

/** What a page's `provider.request` is answered with. */
function answer(wallet, index, method, params) {
  wallet.calls.push({ wallet: index, method, params });
  // A person declines to sign; what is wrong with a wallet shows when it is asked for its accounts.
  const refused = typeof wallet.refusal === "object" ? wallet.refusal?.[method]
    : method === (wallet.refusal === 4001 ? "personal_sign" : "eth_requestAccounts") ? wallet.refusal : null;
  if (refused) return { error: { code: refused, message: MESSAGES[refused] ?? "An error" } };
  switch (method) {
    case "eth_requestAccounts":
    case "eth_accounts":
      // As many wallets do: without the checksum.
      return { result: [ADDRESSES[index].toLowerCase()] };
    case "eth_chainId":
      return { result: CHAIN };
    case "personal_sign":
      if (params[1]?.toLowerCase() !== ADDRESSES[index].toLowerCase()) return { error: { code: 4100, message: MESSAGES[4100] } };
      return { result: sign(index, params[0]) };
    default:
      return { error: { code: 4200, message: `${method} is not supported.` } };
  }
}

/** Runs in the page, before anything of its own. */
function announce(wallets) {
  // Wallets leave frames alone: so do these.
  if (window !== window.top) return;
  const details = wallets.map(({ index, ...info }) => {
    const request = async ({ method, params = [] }) => {
      const { result, error } = await window.freesideTestWallet(index, method, params);
      if (error) throw Object.assign(new Error(error.message), { code: error.code });
      return result;
    };
    const provider = { request, on: () => provider, removeListener: () => provider };
    return Object.freeze({ info: Object.freeze(info), provider });
  });
  const say = () => details.forEach((detail) => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail })));
  window.addEventListener("eip6963:requestProvider", say);
  say();
}

/** Gives each page of `context` these wallets, in this order. `refusal`: a code, or codes by method. */
export async function inject(context, indexes, refusal) {
  const wallet = {
    address: ADDRESSES[indexes[0]],
    addresses: indexes.map((index) => ADDRESSES[index]),
    /** What pages asked for so far. */
    calls: [],
    refusal,
    /** Refuses from here on: with a code, or codes by method; with nothing it is willing again. */
    reject(refusal = null) {
      wallet.refusal = refusal;
    },
  };
  await context.exposeFunction("freesideTestWallet", (index, method, params) => answer(wallet, index, method, params));
  const infos = indexes.map((index) => ({
    index,
    uuid: `350670db-19fa-4704-a166-e52e178b59d${index}`,
    name: NAMES[index],
    rdns: `example.wallet${index}`,
    icon: `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" rx="2" fill="${COLOURS[index]}"/></svg>`)}`,
  }));
  await context.addInitScript(announce, infos);
  return wallet;
}
