/** Whether an Ollama answers there. Never throws, and takes a second at the most. */
export async function probeOllama(baseUrl: string): Promise<boolean> {
  try {
    const response = await fetch(new URL("/api/version", baseUrl), { signal: AbortSignal.timeout(1_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
