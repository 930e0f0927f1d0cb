// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// promptly makes a TCP connection acknowledge what it receives at once. An
// OpenSSH server sends its first packets one after the other and each only when
// the one before is acknowledged, which systems delay for 40 ms and more.
func promptly(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	return &prompt{TCPConn: tcp, raw: raw}
}

type prompt struct {
	*net.TCPConn
	raw syscall.RawConn
}

// Read reads and asks for the acknowledgement; the kernel forgets that it was
// asked before.
func (p *prompt) Read(b []byte) (int, error) {
	n, err := p.TCPConn.Read(b)
	if err == nil {
		cerr := p.raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // slower without, not wrong
		})
		if cerr != nil {
			return n, fmt.Errorf("reading: %w", cerr)
		}
	}
	return n, err //nolint:wrapcheck // a reader's errors are the connection's own
}
