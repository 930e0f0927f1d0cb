// SPDX-License-Identifier: MPL-2.0

package remotetest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

const clientEnv = "REMOTETEST_SSH_CLIENT"

// Main is TestMain for packages whose nodes reach one another: the `ssh` on a
// node's PATH is the test binary, which Main turns into a small strict client.
func Main(m *testing.M) {
	if os.Getenv(clientEnv) != "" {
		code, err := sshClient(os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, "ssh:", err)
			code = 255
		}
		os.Exit(code) //nolint:forbidigo // in this process Main is ssh's main
	}
	m.Run() // its code is the process's, once TestMain returns
}

func (n *Node) writeSSH() {
	n.t.Helper()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	script := "#!/bin/sh\n" + clientEnv + "=1 exec " + remote.Quote(self) + ` "$@"` + "\n"
	if err := os.WriteFile(filepath.Join(n.bin, "ssh"), []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		n.t.Fatal(err)
	}
}

// sshClient knows -i, -p and -o, insists on a known host key, and takes exactly
// the options FluffyCloud's client takes, so that nothing else creeps in.
func sshClient(args []string) (int, error) {
	key, port, known, strict := "", "22", "", false
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch value := args[1]; args[0] {
		case "-i":
			key = value
		case "-p":
			port = value
		case "-o":
			name, v, _ := strings.Cut(value, "=")
			switch name {
			case "StrictHostKeyChecking":
				strict = v == "yes"
			case "UserKnownHostsFile":
				known = strings.Trim(v, `"`)
			case "BatchMode", "ConnectTimeout", "ServerAliveInterval":
			default:
				return 0, fmt.Errorf("option %s is not known to every ssh", name)
			}
		default:
			return 0, fmt.Errorf("flag %s is not known to every ssh", args[0])
		}
		args = args[2:]
	}
	if !strict || known == "" || len(args) < 2 {
		return 0, errors.New("strict host key checking, a known hosts file, a destination and a command are needed")
	}
	user, host, _ := strings.Cut(args[0], "@")
	return sshExec(key, known, user, host+":"+port, strings.Join(args[1:], " "))
}

func sshExec(key, known, user, addr, command string) (int, error) {
	pem, err := os.ReadFile(key)
	if err != nil {
		return 0, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return 0, err
	}
	check, err := knownhosts.New(known)
	if err != nil {
		return 0, err
	}
	client, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: check,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, Timeout: 15 * time.Second,
	})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return 0, err
	}
	session.Stdout, session.Stderr = os.Stdout, os.Stderr
	stdin, err := session.StdinPipe() // Session.Stdin would make Wait wait for it
	if err != nil {
		return 0, err
	}
	go func() {
		_, _ = io.Copy(stdin, os.Stdin)
		_ = stdin.Close()
	}()
	err = session.Run(command)
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return exit.ExitStatus(), nil
	}
	return 0, err
}
