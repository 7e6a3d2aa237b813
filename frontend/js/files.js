/** Files that the viewer chooses, and files that the page gives. */

export const IMAGE_TYPES = ["image/png", "image/jpeg", "image/webp"];
const MAX_IMAGE_BYTES = 32 * 1024 * 1024;

/** @typedef {{name: string, mime: string, data: string, preview: string}} StartImage `data` is base64; `preview` an address for an `<img>` */

/** A file that can't be used; its message is for the viewer. */
export class FileProblem extends Error {}

/**
 * @param {File} file
 * @returns {Promise<StartImage>}
 * @throws {FileProblem}
 */
export async function readStartImage(file) {
  if (!IMAGE_TYPES.includes(file.type)) throw new FileProblem("Choose a PNG, JPEG or WebP picture.");
  if (file.size > MAX_IMAGE_BYTES) throw new FileProblem(`Choose a picture of at most 32 MB; this one has ${Math.ceil(file.size / 1e6)} MB.`);
  if (file.size === 0) throw new FileProblem("This file is empty. Choose another picture.");
  const address = await dataUrl(file);
  return { name: file.name, mime: file.type, data: address.slice(address.indexOf(",") + 1), preview: URL.createObjectURL(file) };
}

/**
 * Offers bytes to the viewer as a download.
 * @param {Blob} blob
 * @param {string} name
 */
export function saveFile(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The download has its own reference once it began; a minute is plenty for that.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** @param {Date} now @param {string} extension @returns {string} a name that sorts by time */
export function fileName(now, extension) {
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  return `fastvideo-${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}.${extension}`;
}

/** @param {Blob} blob @returns {Promise<string>} */
function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(new FileProblem("The browser could not read this file."));
    reader.readAsDataURL(blob);
  });
}
