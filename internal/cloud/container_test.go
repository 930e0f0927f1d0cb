// SPDX-License-Identifier: MPL-2.0

package cloud_test

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func TestContainerImage(t *testing.T) {
	for text, want := range map[string]string{
		"docker:ubuntu:24.04":                   "docker.io/library/ubuntu:24.04",
		"docker:pytorch/pytorch":                "docker.io/pytorch/pytorch",
		"Docker:nvcr.io/nvidia/pytorch:24.05":   "nvcr.io/nvidia/pytorch:24.05",
		"docker:localhost/own:1":                "localhost/own:1",
		"docker:10.0.0.1:5000/own@sha256:00":    "10.0.0.1:5000/own@sha256:00",
		"ami-0815":                              "",
		"skypilot:gpu-ubuntu-2204":              "",
		"projects/p/global/images/docker:later": "",
	} {
		if got, ok := cloud.ContainerImage(text); got != want || ok != (want != "") {
			t.Errorf("ContainerImage(%q) = %q, %t, want %q", text, got, ok, want)
		}
	}
	if image := "nvcr.io/nvidia/pytorch:24.05"; cloud.ImageOf(image) != "docker:"+image || cloud.ImageOf("") != "" {
		t.Errorf("ImageOf = %q and %q", cloud.ImageOf(image), cloud.ImageOf(""))
	}
	if !cloud.SameImage("docker:ubuntu", "docker:docker.io/library/ubuntu") || cloud.SameImage("docker:ubuntu", "ubuntu") || cloud.SameImage("docker:a", "docker:b") || !cloud.SameImage("ami-1", "ami-1") || cloud.SameImage("ami-1", "ami-2") {
		t.Error("SameImage takes other images for the same, or the same for another")
	}
	if got := cloud.RegistryOf("10.0.0.1:5000/own:1"); got != "10.0.0.1:5000" {
		t.Errorf("RegistryOf = %q", got)
	}
}

// Where machines are containers, the image is theirs; elsewhere machines must be
// able to run one, and jobs run in it over SSH alone.
func TestCannotContain(t *testing.T) {
	offer := cloud.Offer{Cloud: "c"}
	machines, pods, none := cloud.Capabilities{Containers: true}, cloud.Capabilities{StartCommand: true}, cloud.Capabilities{}
	for _, tt := range []struct{ got, want string }{
		{machines.CannotContain(offer, "ssh"), ""},
		{machines.CannotContain(offer, "ray"), `runtime = "ray" runs jobs beside the container`},
		{pods.CannotContain(offer, "ray"), ""},
		{none.CannotContain(offer, ""), "machines of c run no containers"},
		{machines.CannotLogin(offer), ""},
		{pods.CannotLogin(offer), "only a public one"},
	} {
		if !strings.Contains(tt.got, tt.want) || (tt.got == "") != (tt.want == "") {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
