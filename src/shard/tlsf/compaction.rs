//! Compaction: one hole is made of many by moving used blocks.
//!
//! The heap does not know what is in a block. Its caller moves the owner's words, by
//! [`Move::apply`], and updates every reference to them.

use super::{Block, Heap, USED, is_free};
use crate::shard::{
    list,
    region::{Offset, Region},
};

/// The move of a used block to another offset. Source and destination may overlap.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// The offset of the block before the move.
    pub from: Offset,
    /// The offset of the block after the move.
    pub to: Offset,
    size: u32,
}

impl Move {
    fn new(block: Block, to: Offset) -> Self {
        Self {
            from: block.at,
            to,
            size: block.size,
        }
    }

    /// Returns the size of the block in words.
    #[cfg(feature = "__internals")]
    pub fn words(&self) -> u32 {
        self.size
    }

    /// Moves the owner's words.
    pub fn apply(self, region: &Region) {
        let own = Heap::HEADER;
        region.shift(self.from + own, self.to + own, self.size - own);
    }
}

impl Heap {
    /// Allocates a block of at least `size` words by moving used blocks.
    ///
    /// The largest free block becomes a hole that is extended to the end of the heap and then to
    /// its start. Each used neighbour moves to another free block if one fits it, and otherwise to
    /// the other side of the hole. A move loses no free word. The call therefore succeeds if `size`
    /// words are free in all, unless more than `max_moved` words would have to be moved. In that
    /// case it returns `None` and keeps the hole as a free block, from which the next call
    /// continues.
    ///
    /// `relocate` performs each move of an owner's words with [`Move::apply`] and updates the
    /// references to them. The words of the hole are zeroed.
    pub fn allocate_by_moving(
        &mut self,
        region: &Region,
        size: u32,
        max_moved: u32,
        mut relocate: impl FnMut(&Region, Move),
    ) -> Option<Offset> {
        let size = size.max(Self::MIN_BLOCK);
        if self.free_words < size {
            return None;
        }
        let largest = self.largest(region)?;
        let hole = self.remove_free(region, largest);
        let mut hole = self.set(region, hole, USED);
        let mut left = max_moved;
        while hole.size < size {
            let after = self.next_above(region, hole);
            let next = after.unwrap_or_else(|| Block::load(region, hole.before));
            if !is_free(region, next.at) {
                let Some(rest) = left.checked_sub(next.size) else {
                    break;
                };
                left = rest;
            }
            hole = match after {
                Some(after) => self.grow_up(region, hole, after, &mut relocate),
                None => self.grow_down(region, hole, &mut relocate),
            };
        }
        region.wipe(hole.at + Self::HEADER, hole.size - Self::HEADER);
        if hole.size < size {
            self.free(region, hole.at);
            return None;
        }
        self.trim(region, hole, size);
        Some(hole.at)
    }

    /// Returns the last block of the highest occupied class. An earlier call may have left its hole
    /// there.
    fn largest(&self, region: &Region) -> Option<Offset> {
        let level = self.levels.checked_ilog2()?;
        let column = self.occupied[level as usize].checked_ilog2()?;
        list::last(region, self.list(level, column)).map(|link| link - Self::HEADER)
    }

    /// Returns the block above a hole, or `None` if the hole grows downwards next.
    fn next_above(&mut self, region: &Region, hole: Block) -> Option<Block> {
        let after = self.after(region, hole);
        self.is_downward = if self.is_downward {
            hole.at > self.start
        } else {
            after.is_none()
        };
        after.filter(|_| !self.is_downward)
    }

    /// Adds the block above a hole to the hole. A used block is moved to a free one, or below the
    /// hole.
    fn grow_up(
        &mut self,
        region: &Region,
        hole: Block,
        after: Block,
        relocate: &mut impl FnMut(&Region, Move),
    ) -> Block {
        if is_free(region, after.at) {
            self.remove_free(region, after.at);
        } else if let Some(to) = self.allocate_whole(region, after.size) {
            relocate(region, Move::new(after, to));
        } else {
            relocate(region, Move::new(after, hole.at));
            let moved = Block::new(hole.at, after.size, hole.before);
            self.set(region, moved, USED);
            let hole = Block::new(hole.at + after.size, hole.size, hole.at);
            return self.set(region, hole, USED);
        }
        let grown = Block::new(hole.at, hole.size + after.size, hole.before);
        self.set(region, grown, USED)
    }

    /// Adds the block below a hole to the hole. A used block is moved to a free one, or above the
    /// hole.
    fn grow_down(
        &mut self,
        region: &Region,
        hole: Block,
        relocate: &mut impl FnMut(&Region, Move),
    ) -> Block {
        let before = Block::load(region, hole.before);
        if is_free(region, before.at) {
            self.remove_free(region, before.at);
        } else if let Some(to) = self.allocate_whole(region, before.size) {
            relocate(region, Move::new(before, to));
        } else {
            let to = before.at + hole.size;
            relocate(region, Move::new(before, to));
            self.set(region, Block::new(to, before.size, before.at), USED);
            let hole = Block::new(before.at, hole.size, before.before);
            return self.set(region, hole, USED);
        }
        // `allocate_whole` may have split the block below, so the header is read again.
        let before = Block::load(region, before.at);
        let grown = Block::new(before.at, before.size + hole.size, before.before);
        self.set(region, grown, USED)
    }
}
