// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// answer is what the job finds out about the primes it is given.
type answer struct {
	Primes int `json:"primes"`
	Sum    int `json:"sum"`
	Twins  int `json:"twins"`
}

// known is what mathematics says of the primes below 100,000; a test computes
// it anew.
var known = answer{Primes: 9592, Sum: 454396537, Twins: 1224}

// checkAnswer shows the outputs and compares what the job brought back with
// what is known.
func (q *quickstart) checkAnswer(ctx context.Context) error {
	if err := q.terraform(ctx, "output"); err != nil {
		return err
	}
	out, err := q.terraformOutput(ctx)
	if err != nil {
		return err
	}
	got, err := parseAnswer(out)
	if err != nil {
		return err
	}
	if got != known {
		return fmt.Errorf("the job's answer is wrong: it says %+v, known is %+v", got, known)
	}
	q.say("    %d primes, their sum %d, %d pairs of twins: as known", got.Primes, got.Sum, got.Twins)
	return nil
}

// parseAnswer reads the example's output total from "output -json".
func parseAnswer(out []byte) (answer, error) {
	var outputs struct {
		Total struct{ Value *answer }
	}
	if err := json.Unmarshal(out, &outputs); err != nil {
		return answer{}, fmt.Errorf("reading the outputs: %w", err)
	}
	if outputs.Total.Value == nil {
		return answer{}, errors.New("the example has no output total")
	}
	return *outputs.Total.Value, nil
}
