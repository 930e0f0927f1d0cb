// SPDX-License-Identifier: MPL-2.0

//go:build openssh && linux

package remote_test

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func BenchmarkFreshConnection(b *testing.B) {
	m := remotetest.NewNet(b).NewMachine(remotetest.MachineOptions{})
	reach(b, m)
	for b.Loop() {
		c, err := remote.Dial(b.Context(), m.Target(), remote.Options{Signers: []ssh.Signer{m.Signer()}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Output(b.Context(), "true"); err != nil {
			b.Fatal(err)
		}
		_ = c.Close()
	}
}

func BenchmarkReusedConnection(b *testing.B) {
	m := remotetest.NewNet(b).NewMachine(remotetest.MachineOptions{})
	c := reach(b, m)
	for b.Loop() {
		if _, err := c.Output(b.Context(), "true"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanOut connects and runs a command on all nodes at the same time, and
// on one in turn with that. Near, all of the nodes' work is done by this machine
// as well: 50 times the CPU time of an sshd is the floor. Far, the nodes are 20
// ms away, as a cloud's are.
func BenchmarkFanOut(b *testing.B) {
	n := remotetest.NewNet(b)
	machines := []*remotetest.Machine{n.NewMachine(remotetest.MachineOptions{})}
	for len(machines) < 50 {
		machines = append(machines, n.NewMachine(remotetest.MachineOptions{Key: machines[0].Signer()}))
	}
	near, far := make([]remote.Target, len(machines)), make([]remote.Target, len(machines))
	for i, m := range machines {
		reach(b, m)
		near[i], far[i] = m.Target(), m.Target()
		far[i].Host, far[i].Port = away(b, m.Host+":22", 10*time.Millisecond)
	}
	fan := func(targets []remote.Target) time.Duration {
		started := time.Now()
		var all sync.WaitGroup
		for _, target := range targets {
			all.Go(func() {
				c, err := remote.Dial(b.Context(), target, remote.Options{Signers: []ssh.Signer{machines[0].Signer()}})
				if err == nil {
					_, err = c.Output(b.Context(), "true")
					_ = c.Close()
				}
				if err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
		return time.Since(started)
	}
	for name, targets := range map[string][]remote.Target{"near": near, "far": far} {
		b.Run(name, func(b *testing.B) {
			var one, fifty []time.Duration
			for b.Loop() {
				one = append(one, fan(targets[:1]))
				fifty = append(fifty, fan(targets))
			}
			slices.Sort(one)
			slices.Sort(fifty)
			b.ReportMetric(one[len(one)/2].Seconds()*1000, "ms/1")
			b.ReportMetric(fifty[len(fifty)/2].Seconds()*1000, "ms/50")
			b.ReportMetric(fifty[len(fifty)/2].Seconds()/one[len(one)/2].Seconds(), "times-one")
		})
	}
}

// away puts an address so far off that everything takes so long one way.
func away(b *testing.B, to string, latency time.Duration) (host string, port int) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go carry(in, out, latency)
			go carry(out, in, latency)
		}
	}()
	at := l.Addr().(*net.TCPAddr) //nolint:forcetypeassert // a TCP listener
	return at.IP.String(), at.Port
}

func carry(from, to net.Conn, latency time.Duration) {
	type parcel struct {
		due  time.Time
		data []byte
	}
	road := make(chan parcel, 1<<16)
	go func() {
		defer to.Close()
		for p := range road {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.data); err != nil {
				return
			}
		}
	}()
	defer close(road)
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		road <- parcel{time.Now().Add(latency), buf[:n]}
	}
}

// BenchmarkUpload times our upload against scp and tar | ssh, each with its
// connection, in the same run on the same machine.
func BenchmarkUpload(b *testing.B) {
	// In memory, so that the disk's moods do not decide.
	m := remotetest.NewNet(b).NewMachine(remotetest.MachineOptions{Config: "Subsystem sftp internal-sftp",
		Mount: `cp -a /root/.ssh "$dir/keys"; mount -t tmpfs none /root; cp -a "$dir/keys" /root/.ssh`})
	c := reach(b, m)
	dir := b.TempDir()
	identity := filepath.Join(dir, "id")
	private, public, err := remote.NewHostKey()
	if err != nil {
		b.Fatal(err)
	}
	known := filepath.Join(dir, "known_hosts")
	for path, text := range map[string]string{identity: string(private), known: m.Host + " " + m.HostKey + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := c.Output(b.Context(), "echo "+remote.Quote(public)+" >>~/.ssh/authorized_keys"); err != nil {
		b.Fatal(err)
	}
	options := "-q -i " + identity + " -o UserKnownHostsFile=" + known + " -o StrictHostKeyChecking=yes"
	for name, src := range map[string]string{"small10000": smallFiles(b, 10000), "big200MB": bigFile(b, 200<<20)} {
		methods := map[string]func(dest string) error{
			"ours": func(dest string) error {
				c, err := remote.Dial(b.Context(), m.Target(), remote.Options{Signers: []ssh.Signer{m.Signer()}})
				if err != nil {
					return err
				}
				defer c.Close()
				return c.PutTree(b.Context(), src, dest)
			},
			"tar-ssh": func(dest string) error {
				return sh(b, fmt.Sprintf("tar -C %s -cf - . | ssh %s root@%s 'mkdir -p %s && tar -C %s -xf -'", src, options, m.Host, dest, dest))
			},
			"scp": func(dest string) error {
				return sh(b, fmt.Sprintf("scp -r %s %s root@%s:%s", options, src, m.Host, dest))
			},
		}
		for _, method := range []string{"ours", "tar-ssh", "scp"} {
			b.Run(name+"/"+method, func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					dest := fmt.Sprintf("/root/%s-%s-%d", name, method, i)
					if err := methods[method](dest); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					if _, err := c.Output(b.Context(), "rm -rf "+dest); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			})
		}
	}
	src := smallFiles(b, 10000)
	b.Run("small10000/unchanged", func(b *testing.B) {
		if err := c.PutTree(b.Context(), src, "~/again"); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := c.PutTree(b.Context(), src, "~/again"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("small10000/onechanged", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			write(b, src, map[string]string{"d0/f0": fmt.Sprint(i)})
			if err := c.PutTree(b.Context(), src, "~/again"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func sh(b *testing.B, script string) error {
	out, err := exec.CommandContext(b.Context(), "sh", "-c", script).CombinedOutput() //nolint:gosec // a benchmark's own words
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func smallFiles(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	content := make([]byte, 2000)
	_, _ = rand.Read(content)
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i/100))
		if i%100 == 0 {
			if err := os.Mkdir(sub, 0o750); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%d", i)), content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func bigFile(b *testing.B, size int) string {
	b.Helper()
	dir := b.TempDir()
	content := make([]byte, size)
	_, _ = rand.Read(content)
	if err := os.WriteFile(filepath.Join(dir, "big"), content, 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}
