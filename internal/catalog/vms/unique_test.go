// SPDX-License-Identifier: MPL-2.0

package vms_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
)

// TestRepeatedRows parses random rows of few machines in few places, so that
// many are there twice: the first one counts, and the first one that contradicts
// it rejects the file.
func TestRepeatedRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	repeats, contradictions := 0, 0
	for range 500 {
		head := "InstanceType,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
		text, once, wrong := head, head, 0
		first := map[string]string{}
		for row := 2; row < 14; row++ {
			name, region := fmt.Sprint("t", rng.IntN(3)), fmt.Sprint("r", rng.IntN(3))
			price, vcpus := 1, 2
			switch rng.IntN(30) {
			case 0:
				price = 9
			case 1:
				vcpus = 4
			}
			l := fmt.Sprintf("%s,%d,8,%d,,%s\n", name, vcpus, price, region)
			text += l
			before, again := first[name+region]
			switch {
			case !again:
				first[name+region] = l
				once += l
			case before == l:
				repeats++
			case wrong == 0:
				wrong = row
			}
		}
		got, _, err := vms.Parse("x", "aws", []byte(text))
		if wrong != 0 {
			contradictions++
			var at *vms.FileError
			if !errors.As(err, &at) || at.Row != wrong || !strings.Contains(err.Error(), "row ") {
				t.Fatalf("%s\nrow %d contradicts an earlier one; parsing says %v", text, wrong, err)
			}
			continue
		}
		want, _, err2 := vms.Parse("x", "aws", []byte(once))
		if err != nil || err2 != nil {
			t.Fatalf("%s\n%v, %v", text, err, err2)
		}
		if !bytes.Equal(snapshot.Build(got, [32]byte{}, snapshot.Stamp{}), snapshot.Build(want, [32]byte{}, snapshot.Stamp{})) {
			t.Fatalf("%s\ndiffers from\n%s", text, once)
		}
	}
	if repeats < 500 || contradictions < 50 {
		t.Fatalf("only %d repeats and %d contradictions", repeats, contradictions)
	}
}

// A machine may differ from place to place, and one description be written in
// several ways.
func TestOneMachineDescribedInSeveralWays(t *testing.T) {
	head := "InstanceType,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
	all, _, err := vms.Parse("x", "aws", []byte(head+"t,4,8,1,,r1\nt,8,8,1,,r2\nt,8.0,8,1,,r2\nt,6,8,1,,r3\nt,08,8,1,,r2\nt,4.0,8.0,1,,r1\n"))
	if err != nil || len(all.Lines) != 3 || len(all.Types) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
}
