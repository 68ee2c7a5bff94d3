// contracts/turn.ts, of which the page takes types only, reaches contracts/ids.ts, and that hashes with Node. The
// checker follows the import; the bundle never does.
declare module "node:crypto" {
  interface Hash {
    update(data: string, encoding: "utf8"): Hash;
    digest(encoding: "base64url"): string;
  }
  export function createHash(algorithm: "sha256"): Hash;
}
declare module "*.css";
