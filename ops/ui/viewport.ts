/**
 * Keeps the input above an on-screen keyboard. Chrome resizes the page itself (interactive-widget in index.html);
 * Safari only shrinks the visual viewport, so the page is given that height while the keyboard is up.
 */

/** Less than this is a toolbar, not a keyboard. */
const KEYBOARD_PX = 120;

export function followKeyboard(): void {
  const visual = window.visualViewport;
  if (!visual) return;
  const fit = (): void => {
    const isUp = visual.scale === 1 && window.innerHeight - visual.height > KEYBOARD_PX;
    document.documentElement.style.setProperty("--page-height", isUp ? `${visual.height}px` : "100dvh");
    document.documentElement.classList.toggle("keyboard", isUp);
    if (isUp) window.scrollTo(0, 0);
  };
  visual.addEventListener("resize", fit);
}
