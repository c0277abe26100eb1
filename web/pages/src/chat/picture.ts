// Makes a picture small enough to send.

/** The limits of the server are 512 KiB, 4 megapixels, and no animation. */
const MAX_BYTES = 512 * 1024;
const SIDES = [1_600, 1_200, 800, 480];
const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/** The picture cannot be sent. The message is for the user. */
export class UnusablePicture extends Error {}

/** Returns the picture itself if it is small and still. Otherwise a smaller copy, or one of the first frame. */
export async function shrink(file: Blob): Promise<Blob> {
  if (!TYPES.includes(file.type)) throw new UnusablePicture("Only PNG, JPEG, WebP and GIF pictures can be sent.");
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new UnusablePicture("The browser cannot read this picture.");
  });
  try {
    const isSmall = file.size <= MAX_BYTES && Math.max(bitmap.width, bitmap.height) <= SIDES[0]!;
    if (isSmall && !(await mayMove(file))) return file;
    for (const side of SIDES) {
      const copy = await scaled(bitmap, side);
      if (copy.size <= MAX_BYTES) return copy;
    }
    throw new UnusablePicture("This picture is too large.");
  } finally {
    bitmap.close();
  }
}

/** Whether a picture may be animated. Something else in it may look so: the copy of a still picture shows the same. */
async function mayMove(file: Blob): Promise<boolean> {
  if (file.type === "image/gif") return true;
  const start = new TextDecoder("latin1").decode(await file.slice(0, 64 * 1024).arrayBuffer());
  return start.includes(file.type === "image/webp" ? "ANIM" : "acTL");
}

async function scaled(bitmap: ImageBitmap, side: number): Promise<Blob> {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  // A browser that cannot write WebP writes PNG, which is right, but larger.
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/webp", 0.85));
  if (!blob) throw new UnusablePicture("The browser cannot make this picture smaller.");
  return blob;
}
