/** What the server tells over HTTP. The page works without: then there are no presets, and limits are found out by trying. */

/**
 * @param {string} path relative to the page
 * @returns {Promise<any>} null when the server has no answer
 */
async function read(path) {
  try {
    const response = await fetch(path, { headers: { accept: "application/json" } });
    return response.ok ? await response.json() : null;
  } catch (problem) {
    console.info(`${path} could not be read`, problem);
    return null;
  }
}

/** @returns {Promise<import("./state.js").Info | null>} */
export const readInfo = () => read("v1/info");

/** @returns {Promise<import("./state.js").Preset[]>} */
export async function readPresets() {
  const answer = await read("v1/presets");
  return Array.isArray(answer?.presets) ? answer.presets : [];
}
