// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// schemaSource is the address under which tfplugindocs looks for a provider's
// schema, whoever publishes it.
const schemaSource = "registry.terraform.io/hashicorp/sky"

// runGenerate formats the examples and writes docs/ from the provider's schema,
// the examples and the page templates. With check it changes nothing and fails
// where something would change.
func runGenerate(ctx context.Context, o options, docsTool string, check bool) (err error) {
	s, err := newScratch()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	g := &generation{options: o, scratch: s, check: check}
	if g.cli, err = findCLI(ctx, o.terraform, s.environ(os.Environ())); err != nil {
		return err
	}
	if err := g.format(ctx); err != nil {
		return err
	}
	schema, err := g.schema(ctx)
	if err != nil {
		return err
	}
	return g.docs(ctx, docsTool, schema)
}

type generation struct {
	options
	cli     cli
	scratch scratch
	check   bool
}

func (g *generation) format(ctx context.Context) error {
	args := []string{"fmt", "-recursive", "-diff"}
	if g.check {
		args = append(args, "-check")
	}
	cmd := command(ctx, g.options, g.cli.path, append(args, "examples")...)
	cmd.Env = g.scratch.environ(os.Environ())
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("examples that are not formatted; make generate does it: %w", err)
	}
	return nil
}

// schema builds the provider and has the CLI write its schema into a file.
func (g *generation) schema(ctx context.Context) (string, error) {
	plugins := filepath.Join(g.scratch.dir, "override")
	if err := buildProvider(ctx, g.options, filepath.Join(plugins, "terraform-provider-sky")); err != nil {
		return "", err
	}
	rc := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    %q = %q\n  }\n}\n", schemaSource, filepath.ToSlash(plugins))
	config := fmt.Sprintf("terraform {\n  required_providers {\n    sky = {\n      source = %q\n    }\n  }\n}\n", schemaSource)
	file := filepath.Join(g.scratch.dir, "schema.json")
	out, err := os.Create(file)
	if err != nil {
		return "", err
	}
	cmd := command(ctx, g.options, g.cli.path, "providers", "schema", "-json")
	cmd.Dir = g.scratch.config()
	cmd.Env = g.scratch.environ(os.Environ())
	cmd.Stdout = out
	err = errors.Join(
		os.WriteFile(g.scratch.cliConfig(), []byte(rc), 0o600),
		os.WriteFile(filepath.Join(g.scratch.config(), "main.tf"), []byte(config), 0o600),
	)
	if err == nil {
		err = cmd.Run()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("reading the provider's schema: %w", err)
	}
	return file, nil
}

// docs renders the pages: into docs, or into a folder of the scratch and
// compares.
func (g *generation) docs(ctx context.Context, docsTool, schema string) error {
	rendered := "docs"
	if g.check {
		var err error
		if rendered, err = filepath.Rel(g.root, filepath.Join(g.scratch.dir, "docs")); err != nil {
			return err
		}
	}
	cmd := command(ctx, g.options, docsTool, "generate", "--provider-name", "sky", "--rendered-provider-name", "sky",
		"--provider-dir", g.root, "--providers-schema", schema,
		"--website-source-dir", filepath.Join("internal", "docs", "templates"), "--rendered-website-dir", rendered)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("tfplugindocs: %w", err)
	}
	if !g.check {
		return nil
	}
	diff := command(ctx, g.options, "git", "diff", "--no-index", "--stat", "--", "docs", filepath.Join(g.scratch.dir, "docs"))
	if err := diff.Run(); err != nil {
		return fmt.Errorf("docs/ is not what the schema, the examples and the templates give; run make generate and commit: %w", err)
	}
	return nil
}
