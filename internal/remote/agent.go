// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentTimeout bounds one question to an agent; it may ask a person.
const agentTimeout = time.Minute

// AgentSigners returns the keys of the SSH agent at socket, in its order. They
// hold no connection: each signature asks the agent anew, so that they stay good
// for as long as the agent is there.
func AgentSigners(ctx context.Context, socket string) ([]ssh.Signer, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to the SSH agent: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(agentTimeout))
	keys, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, fmt.Errorf("asking the SSH agent for its keys: %w", err)
	}
	signers := make([]ssh.Signer, 0, len(keys))
	for _, k := range keys {
		key, err := ssh.ParsePublicKey(k.Blob)
		if err != nil {
			continue // a kind of key that this SSH does not speak
		}
		signers = append(signers, agentSigner{socket: socket, key: key})
	}
	return signers, nil
}

// agentSigner signs with one key of an agent.
type agentSigner struct {
	socket string
	key    ssh.PublicKey
}

var _ ssh.AlgorithmSigner = agentSigner{}

// PublicKey implements ssh.Signer.
func (s agentSigner) PublicKey() ssh.PublicKey { return s.key }

// Sign implements ssh.Signer.
func (s agentSigner) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(random, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (s agentSigner) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	ctx, cancel := context.WithTimeout(context.Background(), agentTimeout) // a signer is given none
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to the SSH agent: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(agentTimeout))
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, fmt.Errorf("asking the SSH agent for its keys: %w", err)
	}
	for _, signer := range signers {
		if own, ok := signer.(ssh.AlgorithmSigner); ok && bytes.Equal(signer.PublicKey().Marshal(), s.key.Marshal()) {
			return own.SignWithAlgorithm(random, data, algorithm)
		}
	}
	return nil, errors.New("the SSH agent no longer has the key")
}
