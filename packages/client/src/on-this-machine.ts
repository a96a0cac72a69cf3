/** Whether a URL leads to the machine itself, or to something on it that forwards. */
export function isOnThisMachine(baseUrl: string): boolean {
  const host = URL.canParse(baseUrl) ? new URL(baseUrl).hostname : "";
  return /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/.test(host);
}
