// The payment simulator, pressed as its page would.

/** The number of the payment that a checkout shows: its link to the simulator names it. */
export async function paymentOf(page) {
  const href = await page.locator("#simulator").getAttribute("href");
  const id = href.split("#payment-")[1];
  if (!id) throw new Error(`the checkout names no payment: ${href}`);
  return id;
}

/** `press(simulator, id, "pay")`; `underpay`, `expire`, `refund`, `detect`, `late`, … */
export async function press(simulator, id, action) {
  const answer = await fetch(`${simulator}/simulator/payments/${id}/${action}`, { method: "POST", headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`the simulator did not ${action}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}
