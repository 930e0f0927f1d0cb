// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"crypto/sha256"
	"fmt"
	"io"
)

const (
	// feedLength is how much of a text is read at once: little enough to be still in
	// the processor's cache when it is scanned.
	feedLength = 512 << 10
	// feedAhead is how many blocks there are.
	feedAhead = 3
	// maxRowBytes bounds a row; those in use have some hundred bytes. A longer one
	// is the sign of a quote that is never closed.
	maxRowBytes = 256 << 10
)

// feed reads a text by blocks, ahead of who scans them, and hashes it on the
// way. The blocks are used again and again, so that memory does not grow with
// the text.
type feed struct {
	size   int64
	blocks chan block
	free   chan []byte
	stop   chan struct{}
	done   chan struct{}
}

// block is a part of a text, after maxRowBytes of room for the row that began in
// the part before.
type block struct {
	mem  []byte
	last bool
	sum  [32]byte // of the whole text, with the last block
	err  error
}

// newFeed starts to read a text of so many bytes. Close must be called.
func newFeed(in io.Reader, size int64, length int) *feed {
	f := &feed{
		size: size, blocks: make(chan block, feedAhead), free: make(chan []byte, feedAhead),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	for range feedAhead {
		f.free <- nil
	}
	go f.run(in, length)
	return f
}

// Close ends the reading; the reader is not touched after it.
func (f *feed) Close() {
	close(f.stop)
	<-f.done
}

func (f *feed) run(in io.Reader, length int) {
	defer close(f.done)
	hash := sha256.New()
	for left := f.size; ; {
		var mem []byte
		select {
		case mem = <-f.free:
		case <-f.stop:
			return
		}
		if mem == nil {
			mem = make([]byte, maxRowBytes+int(min(int64(length), f.size)))
		}
		mem = mem[:maxRowBytes+int(min(int64(length), left))]
		n, err := io.ReadFull(in, mem[maxRowBytes:])
		left -= int64(n)
		b := block{mem: mem, last: left == 0}
		if err != nil {
			b.err = fmt.Errorf("after %d of %d bytes: %w", f.size-left, f.size, err)
		}
		_, _ = hash.Write(mem[maxRowBytes:])
		if b.last {
			hash.Sum(b.sum[:0])
		}
		f.blocks <- b // has room for all there are
		if b.last || b.err != nil {
			return
		}
	}
}
