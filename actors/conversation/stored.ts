/**
 * How a conversation's state lies in the store: the closed turns as bytes, each encoded once when it closes. A turn is
 * written with every commit that follows, and encoding the history anew took a tenth of a host's CPU.
 */
import { decode, encode } from "#contracts/codec.ts";
import type { ConversationState, PastTurn } from "./turn.ts";

const encoded = new WeakMap<PastTurn, Uint8Array>();

/** The bytes of a closed turn. */
export function bytesOf(turn: PastTurn): Uint8Array {
  let bytes = encoded.get(turn);
  if (!bytes) {
    // Copied: the encoder's own buffer is larger, and would be kept as long as the turn.
    bytes = new Uint8Array(encode(turn));
    encoded.set(turn, bytes);
  }
  return bytes;
}

type StoredState = Omit<ConversationState, "history"> & { readonly history: readonly Uint8Array[] };

export function storeState(state: ConversationState): StoredState {
  return { ...state, history: state.history.map(bytesOf) };
}

export function restoreState(stored: unknown): ConversationState {
  const { history, ...rest } = stored as StoredState;
  return {
    ...rest,
    history: history.map((bytes) => {
      const turn = decode<PastTurn>(bytes);
      encoded.set(turn, new Uint8Array(bytes));
      return turn;
    }),
  };
}
