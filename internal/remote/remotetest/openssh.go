// SPDX-License-Identifier: MPL-2.0

//go:build (openssh || ray) && linux

package remotetest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// Net is a bridge of its own for machines in network namespaces. Making one
// needs root and iproute2; where they are missing the test fails.
type Net struct {
	t      testing.TB
	name   string
	prefix string
	next   atomic.Int32
}

// NewNet makes a network that goes with the test.
func NewNet(t testing.TB) *Net {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this lane needs root for network namespaces")
	}
	need(t, "ip", "unshare", "nsenter", "/usr/sbin/sshd")
	var b [3]byte
	_, _ = rand.Read(b[:])
	n := &Net{t: t, name: "sky" + hex.EncodeToString(b[:]), prefix: fmt.Sprintf("10.%d.%d.", 100+b[0]%100, b[1])}
	n.ip("link", "add", n.name, "type", "bridge")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", n.name).Run() })
	n.ip("addr", "add", n.prefix+"1/24", "dev", n.name)
	n.ip("link", "set", n.name, "up")
	return n
}

// need fails the test where a program is missing.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("this lane needs %s: run .ci/peers/<lane>", program)
		}
	}
}

func (n *Net) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// Machine is a network namespace with its own processes, home folder and a real
// OpenSSH server. Its user is root.
type Machine struct {
	Host, HostKey, Home string
	Dir                 string

	net     *Net
	name    string
	options MachineOptions
	client  ssh.Signer
	sshd    *exec.Cmd
}

// MachineOptions are what is special about a machine.
type MachineOptions struct {
	Config  string // more lines of sshd_config
	Early   string // run before the home folder takes its place, with $home and $dir set
	Mount   string // run before sshd starts, with $home and $dir set
	Profile string // the root shell's .bashrc
	Busybox bool   // sh and all programs are busybox; there is no bash
	Systemd bool   // the machine's first process is a real systemd, with a bus
	// Clock is how far the clock of all that runs on it is off, as in "+20y".
	Clock string
	Boots bool // every boot has an id of its own, as with real machines
	// Key lets its holder in; nil is a key of the machine's own.
	Key ssh.Signer
}

// NewMachine starts a machine that goes with the test.
func (n *Net) NewMachine(o MachineOptions) *Machine {
	n.t.Helper()
	if o.Busybox {
		need(n.t, "busybox")
	}
	if o.Systemd {
		need(n.t, "/lib/systemd/systemd", "dbus-daemon")
	}
	i := n.next.Add(1)
	dir := n.t.TempDir()
	m := &Machine{net: n, name: fmt.Sprintf("%sn%d", n.name, i), Host: n.prefix + strconv.Itoa(int(i)+1), Dir: dir, Home: filepath.Join(dir, "home"), options: o, client: o.Key}
	if m.client == nil {
		m.client, _ = newKey(n.t)
	}
	if err := os.MkdirAll(filepath.Join(m.Home, ".ssh"), 0o700); err != nil {
		n.t.Fatal(err)
	}
	m.write("home/.ssh/authorized_keys", string(ssh.MarshalAuthorizedKey(m.client.PublicKey())))
	if o.Profile != "" {
		m.write("home/.bashrc", o.Profile)
	}
	m.RotateHostKey()
	n.ip("netns", "add", m.name)
	n.t.Cleanup(m.Close)
	n.ip("link", "add", m.name, "type", "veth", "peer", "name", "eth0", "netns", m.name)
	n.ip("link", "set", m.name, "master", n.name, "up")
	n.ip("-n", m.name, "addr", "add", m.Host+"/24", "dev", "eth0")
	n.ip("-n", m.name, "link", "set", "eth0", "up")
	n.ip("-n", m.name, "link", "set", "lo", "up")
	m.Start()
	return m
}

func (m *Machine) write(name, content string) {
	m.net.t.Helper()
	if err := os.WriteFile(filepath.Join(m.Dir, name), []byte(content), 0o600); err != nil {
		m.net.t.Fatal(err)
	}
}

// RotateHostKey gives the machine another host key, from its next Start on.
func (m *Machine) RotateHostKey() {
	m.net.t.Helper()
	private, public, err := remote.NewHostKey()
	if err != nil {
		m.net.t.Fatal(err)
	}
	m.write("host_key", string(private))
	m.HostKey = public
}

// Start boots the machine: a process tree of its own under sshd.
func (m *Machine) Start() {
	t := m.net.t
	t.Helper()
	shell, path := "", ""
	if m.options.Busybox {
		shell = `mkdir -p "$dir/bb" && busybox --install -s "$dir/bb" && cp "$(command -v busybox)" "$dir/ash"
sed "s,^\(root:.*:\)[^:]*$,\1/bin/sh," /etc/passwd >"$dir/passwd"; mount --bind "$dir/passwd" /etc/passwd
mount --bind "$dir/ash" "$(readlink -f /bin/sh)"`
		path = "SetEnv PATH=" + m.Dir + "/bb"
		if o, err := exec.LookPath("ssh"); err == nil { // the head needs a client
			_ = os.MkdirAll(filepath.Join(m.Dir, "bb"), 0o755) //nolint:gosec // programs
			_ = os.Symlink(o, filepath.Join(m.Dir, "bb", "ssh"))
		}
	}
	mount := m.options.Mount
	if m.options.Boots {
		mount += "\ncat /proc/sys/kernel/random/uuid >\"$dir/boot\"; mount --bind \"$dir/boot\" /proc/sys/kernel/random/boot_id"
	}
	if m.options.Clock != "" {
		// Not sshd itself, whose sandbox kills what the library does.
		path = fmt.Sprintf("SetEnv LD_PRELOAD=%s FAKETIME=%s FAKETIME_DONT_FAKE_MONOTONIC=1", m.clockLibrary(), m.options.Clock)
	}
	m.write("sshd_config", strings.Join([]string{
		m.options.Config, "Port 22", "HostKey " + m.Dir + "/host_key", "AuthorizedKeysFile /root/.ssh/authorized_keys",
		"PermitRootLogin prohibit-password", "StrictModes no", "UsePAM no", "PidFile none", "PrintMotd no", "MaxStartups 200", path, "",
	}, "\n"))
	last := `exec /usr/sbin/sshd -D -e -f "$dir/sshd_config"`
	if m.options.Systemd {
		m.writeUnits()
		last = systemdBoot
	}
	script := fmt.Sprintf(`set -e; dir=%s home=%s
mount --make-rprivate /; mkdir -p /run/sshd; hostname %s
%s
mount --rbind "$home" /root
cd /root
%s
%s
%s`, m.Dir, m.Home, m.name, m.options.Early, shell, mount, last)
	m.sshd = exec.Command("ip", "netns", "exec", m.name, "unshare", "--uts", "--mount", "--cgroup", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script) //nolint:gosec // a machine
	log, err := os.OpenFile(filepath.Join(m.Dir, "sshd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	m.sshd.Stdout, m.sshd.Stderr = log, log
	m.sshd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := m.sshd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (m *Machine) clockLibrary() string {
	m.net.t.Helper()
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil || len(found) == 0 {
		m.net.t.Fatal("this lane needs libfaketime: run .ci/peers/test-openssh")
	}
	return found[0]
}

// systemdBoot gives systemd what it expects of a container, and only our units:
// the host's would clean up folders that are not the machine's.
const systemdBoot = `mount -t tmpfs tmpfs /run; mkdir -p /run/sshd /run/dbus /run/lock
umount -R /sys/fs/cgroup 2>/dev/null || :
mount -t cgroup2 none /sys/fs/cgroup
export container=test SYSTEMD_UNIT_PATH="$dir/units"
exec /lib/systemd/systemd --system --log-target=console --show-status=0`

func (m *Machine) writeUnits() {
	m.net.t.Helper()
	if err := os.MkdirAll(filepath.Join(m.Dir, "units"), 0o700); err != nil {
		m.net.t.Fatal(err)
	}
	const bare = "[Unit]\nDefaultDependencies=no\n"
	for name, text := range map[string]string{
		"default.target": bare + "Wants=dbus.socket dbus.service ssh.service\n",
		"basic.target":   bare, "sysinit.target": bare, "shutdown.target": bare,
		"dbus.socket":  bare + "[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
		"dbus.service": bare + "Requires=dbus.socket\nAfter=dbus.socket\n[Service]\nType=notify\nExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only\n",
		"ssh.service":  bare + "[Service]\nKillMode=process\nExecStart=/usr/sbin/sshd -D -e -f " + m.Dir + "/sshd_config\n",
	} {
		m.write("units/"+name, text)
	}
}

// Stop is a power cut: everything on the machine ends at once.
func (m *Machine) Stop() {
	if m.sshd != nil {
		_ = syscall.Kill(-m.sshd.Process.Pid, syscall.SIGKILL)
		for _, pid := range m.pids() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = m.sshd.Wait()
		m.sshd = nil
	}
}

func (m *Machine) pids() []int {
	out, _ := exec.Command("ip", "netns", "pids", m.name).Output() //nolint:gosec // a machine
	var all []int
	for line := range strings.FieldsSeq(string(out)) {
		if pid, err := strconv.Atoi(line); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// Processes lists what runs on the machine besides its SSH server.
func (m *Machine) Processes() []string { return slices.Collect(maps.Values(m.Commands())) }

// Commands is Processes by process number.
func (m *Machine) Commands() map[int]string {
	all := map[int]string{}
	for _, pid := range m.pids() {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		text := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		if err == nil && text != "" && !strings.Contains(text, "sshd") && !strings.HasPrefix(text, "unshare ") && !strings.Contains(text, "systemd") {
			all[pid] = text
		}
	}
	return all
}

// KillAll ends everything on the machine but its SSH server, as a reboot does:
// nothing sees anything else end, so all is stopped first.
func (m *Machine) KillAll() {
	stopped := map[int]bool{}
	for more := true; more; {
		more = false
		for pid := range m.Commands() {
			if !stopped[pid] {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				stopped[pid], more = true, true
			}
		}
	}
	for range 100 {
		all := m.Commands()
		if len(all) == 0 {
			return
		}
		for pid := range all {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Log is what sshd had to say.
func (m *Machine) Log() string {
	data, _ := os.ReadFile(filepath.Join(m.Dir, "sshd.log"))
	return string(data)
}

// Cut takes the machine off the network.
func (m *Machine) Cut() { m.net.ip("link", "set", m.name, "down") }

// Freeze stops every process of the machine: connections are accepted by its
// kernel, and nobody says a word. Thaw goes on.
func (m *Machine) Freeze() { m.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (m *Machine) Thaw() { m.signal(syscall.SIGCONT) }

func (m *Machine) signal(sig syscall.Signal) {
	for _, pid := range m.pids() {
		_ = syscall.Kill(pid, sig)
	}
}

// Join undoes Cut.
func (m *Machine) Join() { m.net.ip("link", "set", m.name, "up") }

// Target is where the machine answers, its key pinned.
func (m *Machine) Target() remote.Target {
	return remote.Target{Host: m.Host, Port: 22, User: "root", HostKey: m.HostKey}
}

// Signer is the machine's client key.
func (m *Machine) Signer() ssh.Signer { return m.client }

// Close removes the machine.
func (m *Machine) Close() {
	m.Stop()
	_ = exec.Command("ip", "netns", "del", m.name).Run()
	_ = exec.Command("ip", "link", "del", m.name).Run()
}
